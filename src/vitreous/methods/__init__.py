"""One paper, one file. `METHODS` is the whole list: the names of the command line, the tables and `explain`."""

from __future__ import annotations

from inspect import signature
from typing import Any

from vitreous.methods.ablation_cam import AblationCAM
from vitreous.methods.ag_cam import AGCAM
from vitreous.methods.attcat import AttCAT
from vitreous.methods.attention_grad_cam import AttentionGradCAM
from vitreous.methods.attn_lrp import AttnLRP
from vitreous.methods.bt_head import BTHead
from vitreous.methods.bt_token import BTToken
from vitreous.methods.cam import CAM
from vitreous.methods.center_gaussian import CenterGaussian
from vitreous.methods.cp_lrp import CPLRP
from vitreous.methods.decompx import DecompX
from vitreous.methods.edges import Edges
from vitreous.methods.eigen_cam import EigenCAM
from vitreous.methods.generic_attention import GenericAttention
from vitreous.methods.grad_cam import GradCAM
from vitreous.methods.grad_cam_plus_plus import GradCAMPlusPlus
from vitreous.methods.hires_cam import HiResCAM
from vitreous.methods.input_x_gradient import InputXGradient
from vitreous.methods.integrated_gradients import IntegratedGradients
from vitreous.methods.layer_cam import LayerCAM
from vitreous.methods.legrad import LeGrad
from vitreous.methods.libra_grad import LibraGrad
from vitreous.methods.lrp import LRP
from vitreous.methods.method import ListedMethod, Method
from vitreous.methods.mgrw import MGRW
from vitreous.methods.occlusion import Occlusion
from vitreous.methods.patch_posterior import PatchPosterior
from vitreous.methods.random import Random
from vitreous.methods.raw_attention import RawAttention
from vitreous.methods.relevance_cam import RelevanceCAM
from vitreous.methods.rise import RISE
from vitreous.methods.rollout import Rollout
from vitreous.methods.score_cam import ScoreCAM
from vitreous.methods.tam import TAM
from vitreous.methods.tis import TIS
from vitreous.methods.transformer_attribution import TransformerAttribution
from vitreous.methods.vit_cx import ViTCX
from vitreous.settings.named import find, make

__all__ = ["METHODS", "is_method", "make_method", "setting_names", "title_of"]

METHODS: dict[str, type[ListedMethod]] = {
    "ablation_cam": AblationCAM,
    "ag_cam": AGCAM,
    "attcat": AttCAT,
    "attention_grad_cam": AttentionGradCAM,
    "attn_lrp": AttnLRP,
    "bt_head": BTHead,
    "bt_token": BTToken,
    "cam": CAM,
    "center_gaussian": CenterGaussian,
    "cp_lrp": CPLRP,
    "decompx": DecompX,
    "edges": Edges,
    "eigen_cam": EigenCAM,
    "generic_attention": GenericAttention,
    "grad_cam": GradCAM,
    "grad_cam_plus_plus": GradCAMPlusPlus,
    "hires_cam": HiResCAM,
    "input_x_gradient": InputXGradient,
    "integrated_gradients": IntegratedGradients,
    "layer_cam": LayerCAM,
    "legrad": LeGrad,
    "libra_grad": LibraGrad,
    "lrp": LRP,
    "mgrw": MGRW,
    "occlusion": Occlusion,
    "patch_posterior": PatchPosterior,
    "random": Random,
    "raw_attention": RawAttention,
    "relevance_cam": RelevanceCAM,
    "rise": RISE,
    "rollout": Rollout,
    "score_cam": ScoreCAM,
    "tam": TAM,
    "tis": TIS,
    "transformer_attribution": TransformerAttribution,
    "vit_cx": ViTCX,
}


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
