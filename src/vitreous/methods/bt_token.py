"""Beyond Intuition, token-wise (Chen et al., TMLR 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import ObservationError
from vitreous.methods.explanation import Explanation
from vitreous.methods.feedback import feedback, first_layer
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_class_token
from vitreous.methods.transformer_attribution import multiply_up
from vitreous.settings.typed import Passes
from vitreous.shapes import Images
from vitreous.trace.blocks import Block, observe_blocks
from vitreous.trace.target import Predicted, Target

__all__ = ["BTToken", "weigh_tokens"]


@dataclass(frozen=True)
class BTToken:
    """Attention with its tokens weighted by what they pass on, followed up, times the last integrated gradient.

    R ← R + Ā·diag(‖W v_j‖ / ‖z_j‖) R from R = I, where z_j is token j as it goes into the block, v_j its values of all
    heads, W the attention's output projection without bias, and Ā the mean over heads.
    heat = R ⊙ mean over heads of ReLU(mean over α in [0, 1] of ∂y(αx)/∂A_K), class-token row. y is the logit.

    The authors' segmentation script adds the mean of the patches' rows to the class token's; this is their perturbation
    script, which does not.

    Attributes:
        start_layer: the first layer of the product, from 0; None is half of the depth, the authors' 6 of 12 (5 and 3 in
            other places of their code).
        steps: values of α, both ends counted.

    Needs a class token that the classifier reads, and global attention in blocks that hold one each.
    Cost: one forward pass, one of the first image, then `steps` forward passes, each with the backward pass of the last
    block.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "bt_token", steps=3).heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "BT-token"
    source: ClassVar[str] = (
        "Chen et al., Beyond Intuition: Rethinking Token Attributions inside Transformers, TMLR 2023"
    )
    family: ClassVar[Family] = "class_token"

    start_layer: int | None = None
    steps: Passes = 20

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        trace, blocks = observe_blocks(model, images)
        tokens, logits = trace.tokens, trace.logits.detach()
        tokens = check_class_token(tokens, trace.model, "bt_token", tokens.of_extra(trace.read_tokens()))
        direction = target(logits)
        kept = blocks[first_layer(self.start_layer, len(blocks), 6) :]
        steps = [weigh_tokens(block, trace.model) for block in kept]
        del trace, blocks, kept  # the graph of this pass is not needed in the next
        answer = feedback(model, images, direction, self.steps, tokens)
        return Explanation(multiply_up(tokens, steps) * tokens.heatmap(answer), logits, direction.argmax(1), self)


def weigh_tokens(block: Block, model: str) -> Float[Tensor, "batch tokens tokens"]:
    """One layer's head-averaged attention, each token weighted by the length that it passes on to that it has.

    Raises:
        ObservationError: the attention's output projection is not a linear map of the mixed values.
    """
    attention = block.attention
    if attention.values is None or attention.projection is None:
        raise ObservationError(
            f"no linear map of `{model}` takes the output of the attention in `{attention.name}` as it is, so what its "
            "tokens pass on is unknown. Use `bt_head`."
        )
    values = attention.values.detach().transpose(1, 2).flatten(2)
    passed = (values @ attention.projection.detach().T).norm(dim=-1)
    return attention.weights.detach().mean(1) * (passed / block.before.detach().norm(dim=-1))[:, None]
