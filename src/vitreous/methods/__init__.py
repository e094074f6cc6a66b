"""One paper, one file. `METHODS` is the whole list: the names of the command line, the tables and `explain`."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any

from vitreous.settings.named import Listed, find, make

if TYPE_CHECKING:
    from vitreous.methods.method import ListedMethod, Method

__all__ = ["METHODS", "is_method", "make_method", "setting_names", "title_of"]

METHODS: Listed[type[ListedMethod]] = Listed(
    __name__,
    {
        "ablation_cam": "ablation_cam:AblationCAM",
        "ag_cam": "ag_cam:AGCAM",
        "attcat": "attcat:AttCAT",
        "attention_grad_cam": "attention_grad_cam:AttentionGradCAM",
        "attn_lrp": "attn_lrp:AttnLRP",
        "bt_head": "bt_head:BTHead",
        "bt_token": "bt_token:BTToken",
        "cam": "cam:CAM",
        "center_gaussian": "center_gaussian:CenterGaussian",
        "cp_lrp": "cp_lrp:CPLRP",
        "decompx": "decompx:DecompX",
        "edges": "edges:Edges",
        "eigen_cam": "eigen_cam:EigenCAM",
        "generic_attention": "generic_attention:GenericAttention",
        "grad_cam": "grad_cam:GradCAM",
        "grad_cam_plus_plus": "grad_cam_plus_plus:GradCAMPlusPlus",
        "hires_cam": "hires_cam:HiResCAM",
        "input_x_gradient": "input_x_gradient:InputXGradient",
        "integrated_gradients": "integrated_gradients:IntegratedGradients",
        "layer_cam": "layer_cam:LayerCAM",
        "legrad": "legrad:LeGrad",
        "libra_grad": "libra_grad:LibraGrad",
        "lrp": "lrp:LRP",
        "mgrw": "mgrw:MGRW",
        "occlusion": "occlusion:Occlusion",
        "patch_posterior": "patch_posterior:PatchPosterior",
        "random": "random:Random",
        "raw_attention": "raw_attention:RawAttention",
        "relevance_cam": "relevance_cam:RelevanceCAM",
        "rise": "rise:RISE",
        "rollout": "rollout:Rollout",
        "score_cam": "score_cam:ScoreCAM",
        "tam": "tam:TAM",
        "tis": "tis:TIS",
        "transformer_attribution": "transformer_attribution:TransformerAttribution",
        "vit_cx": "vit_cx:ViTCX",
    },
)


def make_method(name: str, /, **settings: Any) -> Method:
    """A method by name, with its settings.

    Args:
        name: one of `METHODS`, or "package.module:Name" for a method of your own.
        settings: the fields of its dataclass.

    Raises:
        UnknownName: there is no such method, setting or choice.
        ShapeError: a setting is of another type than its annotation says.

    >>> make_method("rollout", start_layer=1)
    Rollout(start_layer=1, readout='class')
    """
    return make(find("method", name, METHODS, is_method), name, settings)


def setting_names(name: str) -> list[str]:
    """The settings of a method by name, as `make_method` takes them.

    Raises:
        UnknownName: there is no such method.

    >>> setting_names("rollout")
    ['start_layer', 'readout']
    """
    return [*signature(find("method", name, METHODS, is_method)).parameters]


def is_method(made: Any) -> bool:
    """Whether a class is one of methods: it says where it was published, and its objects can be called."""
    return (
        isinstance(made, type)
        and isinstance(getattr(made, "source", None), str)
        and any("__call__" in vars(base) for base in made.__mro__)
    )


def title_of(name: str) -> str:
    """A method as people call it, for sheets and pages; a name of one's own is left as it is.

    >>> title_of("ag_cam"), title_of("mine")
    ('AG-CAM', 'mine')
    """
    return METHODS[name].title if name in METHODS else name
