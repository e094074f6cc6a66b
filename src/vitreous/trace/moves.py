"""What of torch only moves numbers, by all the names that it goes by: for whoever follows a tensor through a model."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["KEEPS", "MOVES", "REORDERS", "TURNS"]


def _called(names: str, attributes: str = "") -> frozenset[Any]:
    places = (torch, Tensor, F)
    return frozenset(
        getattr(place, name) for name in names.split() for place in places if hasattr(place, name)
    ) | frozenset(getattr(Tensor, name).__get__ for name in attributes.split())


TURNS = _called("adjoint moveaxis movedim permute swapaxes swapdims t transpose", "T mT H mH")
"""An axis takes another's place."""

KEEPS = TURNS | _called(
    "alpha_dropout bfloat16 clone contiguous cpu cuda double dropout dropout1d dropout2d dropout3d "
    "feature_alpha_dropout feature_dropout flatten float half positive ravel reshape reshape_as squeeze squeeze_ to "
    "type type_as unflatten unsqueeze unsqueeze_ view view_as"
)
"""All numbers are there afterwards, each once, in any shape or type; dropout is none in evaluation mode."""

MOVES = KEEPS | _called(
    "as_strided atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors broadcast_to cat channel_shuffle chunk "
    "column_stack concat concatenate constant_pad_nd copy_ detach diag diag_embed diagflat diagonal dsplit dstack "
    "expand expand_as flip fliplr flipud gather hsplit hstack index_copy index_fill index_select masked_fill "
    "masked_fill_ masked_scatter masked_select meshgrid narrow narrow_copy pad pixel_shuffle pixel_unshuffle repeat "
    "repeat_interleave requires_grad_ roll rot90 row_stack scatter select select_scatter slice_scatter sort split "
    "split_with_sizes stack swapaxes_ swapdims_ t_ take take_along_dim tensor_split tile topk transpose_ tril triu "
    "unbind unfold unsafe_chunk unsafe_split vsplit vstack where __getitem__ __iter__ __reversed__",
    "data real",
)
"""Numbers are moved, copied or selected."""

REORDERS = _called(
    "argsort channel_shuffle flip fliplr flipud gather index_copy index_select masked_scatter masked_select "
    "pixel_shuffle pixel_unshuffle roll rot90 scatter sort take take_along_dim topk"
)
"""Numbers may come out in another order than they went in."""
