"""Layer-wise relevance propagation for Vision Transformers (Chefer, Gur & Wolf, CVPR 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import nn

from vitreous.errors import check_setting
from vitreous.methods.explanation import Explanation
from vitreous.methods.input_x_gradient import lay_out
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_class_token, check_one_sign
from vitreous.methods.transformer_attribution import as_shares, multiply_up
from vitreous.relevance.composites import RuleSet, chefer
from vitreous.relevance.losses import Losses
from vitreous.relevance.propagate import propagate
from vitreous.relevance.rules import EPSILON
from vitreous.shapes import Images, Logits
from vitreous.trace.observe import observe
from vitreous.trace.observed import rows_read
from vitreous.trace.pixels import pixel_response
from vitreous.trace.target import Predicted, Target

__all__ = ["LRP", "RelevanceOf"]

RelevanceOf = Literal["full", "last_layer", "second_layer", "rollout"]
"""Which relevance is the map: the pixels', or that of attention weights."""


@dataclass(frozen=True)
class LRP:
    """Relevance by Chefer's rules, carried down to the pixels or read off the attention weights.

    Relevance starts as 1 at the class (at several, by their part in what is explained) and is shared by every operation
    among its operands: heat = Σ R over channels and each patch's pixels. With the rules "ours" its total stays 1 from
    block to block; what position embeddings and the class token take is missing at the pixels.
    As in the authors' code, biases take none, and where no product x·w of a convolution is above zero R is lost: rarely
    of many channels, often of one (depthwise). Where that is most of it, as in RepViT and MobileOne, a warning says so.
    Where their code takes totals over the batch, which must be one image there, ours takes them per image.

    Attributes:
        readout: "full" sums the pixels' relevance over channels and patches. "last_layer" (the authors' partial LRP)
            and "second_layer" are the class-token row of mean over heads of ReLU(R_k), R_k the relevance of the
            attention weights there; "rollout" multiplies these up, (M_K + I) · … · (M_s + I).
        rules: "ours" are those of transformer attribution. The authors' evaluation scripts run "full" and
            "last_layer" with "orig", which doubles relevance in every linear layer.
        start_layer: the first layer multiplied by "rollout", from 0. The authors' evaluation scripts start from 1.
        epsilon: the stabilizer of every division.

    Needs operations with rules: transformers of timm, torchvision, Hugging Face and others that call torch plainly, and
    networks of convolutions, batch norms and pooling, alone or under a transformer, by the rules of the same code. All
    readouts but "full" also need a class token that the classifier reads, and global attention. What is explained must
    not have both signs, as one class against another has, unless rules="orig": those of sums scale relevance by its
    total, which would be 0 and rounding. Run it in float64 for numbers to rely on: divisions by sums near zero make
    single precision differ by percents, and half precision is refused.
    Cost: one forward pass with attention written out, and a relevance pass of about three forward passes.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "lrp").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "LRP"
    source: ClassVar[str] = "Chefer, Gur & Wolf, Transformer Interpretability Beyond Attention Visualization, CVPR 2021"
    family: ClassVar[Family] = "chefer"
    signed: ClassVar[Literal[True]] = True

    readout: RelevanceOf = "full"
    rules: RuleSet = "ours"
    start_layer: int = 0
    epsilon: float = EPSILON

    def __post_init__(self) -> None:
        check_setting("readout", self.readout, get_args(RelevanceOf))
        check_setting("rules", self.rules, get_args(RuleSet))

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        return (
            self._of_pixels(model, images, target)
            if self.readout == "full"
            else self._of_attention(model, images, target)
        )

    def _direction(self, target: Target, logits: Logits) -> Logits:
        if self.rules == "orig":  # every rule is linear in what relevance starts from
            return target(logits)
        return check_one_sign(target(logits), "lrp", 'Use rules="orig" (--set lrp.rules=orig) or `attn_lrp`.')

    def _of_pixels(self, model: nn.Module, images: Images, target: Target) -> Explanation:
        losses = Losses(len(images))
        with propagate(model, losses.watching(chefer(self.rules, self.epsilon))):
            response = pixel_response(model, images)
        direction = self._direction(target, response.logits.detach())
        heatmap = lay_out(response.gradient(as_shares(direction)), response.grid)
        losses.tell(response.model)
        return Explanation(heatmap, response.logits.detach(), direction.argmax(1), self)

    def _of_attention(self, model: nn.Module, images: Images, target: Target) -> Explanation:
        with propagate(model, chefer(self.rules, self.epsilon)):
            trace = observe(model, images)
        attentions, tokens = trace.global_attentions, trace.tokens
        count, whole = len(attentions), self.readout == "rollout"
        first = {"last_layer": count - 1, "second_layer": 1, "rollout": self.start_layer}[self.readout]
        check_setting("start_layer" if whole else "layer", first, range(count))
        kept = attentions[first:] if whole else attentions[first : first + 1]
        direction = self._direction(target, trace.logits.detach())
        *relevances, last = trace.gradients(as_shares(direction), [*kept, attentions[-1]])
        tokens = check_class_token(tokens, trace.model, "lrp", tokens.of_extra(rows_read(last)))
        heatmap = multiply_up(tokens, [relevance.relu().mean(1) for relevance in relevances])
        return Explanation(heatmap, trace.logits.detach(), direction.argmax(1), self)
