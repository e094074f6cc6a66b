"""What the optimizer changes, and how fast."""

from __future__ import annotations

from typing import Any

from timm.optim._param_groups import param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from vitreous.training.recipe import Optimizer

__all__ = ["parameter_groups"]


def parameter_groups(model: Any, settings: Optimizer, beside: nn.Module | None = None) -> list[dict[str, Any]]:
    """Parameters with and without weight decay and, where it falls by layer, with a share of the learning rate each.

    Args:
        model: of timm's; where `layer_decay` is 0, all of it but the head is frozen.
        settings: the recipe's section.
        beside: what learns along with the model, at the full rate.
    """
    spared = getattr(model, "no_weight_decay", set[str])()
    decay = settings.weight_decay
    others = param_groups_weight_decay(beside, decay) if beside else []
    if 0 < settings.layer_decay < 1:
        share = settings.layer_decay
        return [*param_groups_layer_decay(model, decay, no_weight_decay_list=spared, layer_decay=share), *others]
    if not settings.layer_decay:
        head = model.pretrained_cfg["classifier"]
        heads = (head,) if isinstance(head, str) else tuple(head)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(heads))
    together = nn.ModuleDict({"model": model, "beside": beside or nn.Identity()})
    return param_groups_weight_decay(together, decay, no_weight_decay_list=[f"model.{name}" for name in spared])
