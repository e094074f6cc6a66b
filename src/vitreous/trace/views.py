"""Several views of a picture, joined along the batch by the model itself: flips or crops that it averages over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vitreous.errors import NoGlobalAttention
from vitreous.trace.changes import aside
from vitreous.trace.edit import first_tensor
from vitreous.trace.running import run
from vitreous.trace.settled import settled

__all__ = ["check_views"]


def check_views(model: nn.Module, images: Tensor) -> None:
    """Refuse a model that makes a batch of views of one image: of which of them a map would be, nobody says.

    Args:
        model: comes back as it was.
        images: its input; the first is used.

    Raises:
        NoGlobalAttention: a module of it is given several pictures for one.

    Cost: a forward pass of one image.
    """
    given, gave = dict[str, int](), dict[str, tuple[int, ...]]()

    def look(name: str) -> Callable[[Any], None]:
        def look(tree: Any) -> None:
            tensor = next((leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)), None)
            if tensor is not None and tensor.ndim == 4 and len(tensor) > 1 and tensor.shape[1] == images.shape[1]:
                given[name] = len(tensor)

        return look

    def keep(name: str) -> Callable[[Any], None]:
        def keep(output: Any) -> None:
            gave[name] = () if (tensor := first_tensor(output)) is None else tuple(tensor.shape)

        return keep

    with aside(), settled(model) as change:
        change.gradients(False)
        for name, module in model.named_modules():
            change.before(module, look(name))
            change.after(module, keep(name))
        change.start_pass()
        run(model, images[:1].clone())
    if given:
        (name, views), kind = next(iter(given.items())), type(model).__name__
        has_scores = len(gave[name]) == 2 and gave[name][0] == views
        alone = f", the module `{name}` by itself" if has_scores else " in its place"
        raise NoGlobalAttention(
            f"`{kind}` makes {views} views of one image, as flips and crops are, and gives them to `{name}` as one "
            f"batch, so it has not one map. Explain a model of one view{alone}, or use a method that only runs the "
            "model, such as `rise`."
        )
