"""What goes into a block and comes out, and its attention's values and projection, on every kind of model."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from tests.contract.zoo import CASES
from tests.quick import KINDS, quick
from vitreous.errors import NoGlobalAttention, NothingObserved, NoTokenGrid
from vitreous.trace.blocks import find_blocks, observe_blocks
from vitreous.trace.observe import observe
from vitreous.trace.recorder import record

GLOBAL = [name for name, case in CASES.items() if case.blocks is None and not case.how]
MULTI_HEAD = [
    "torchvision_vit",
    "open_clip",
    "torch_encoder",
    "registers_last",
    "class_token_last",
    "linear_embedding",
    "column_major",
]


@pytest.mark.parametrize("name", quick(GLOBAL, KINDS))
def test_a_block_takes_what_the_one_before_gave(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images()
    trace, blocks = observe_blocks(model, images)
    assert [block.attention for block in blocks] == list(trace.global_attentions)
    for earlier, later in pairwise(blocks):
        torch.testing.assert_close(earlier.after, later.before)
    assert all(block.before.shape[:2] == (2, trace.tokens.tokens) for block in blocks)


@pytest.mark.parametrize("name", [name for name in GLOBAL if name not in MULTI_HEAD])
def test_weights_times_values_are_what_the_projection_takes(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images()
    attention = observe(model, images).global_attentions[1]
    mixed = (attention.weights @ attention.values).transpose(1, 2).flatten(2)
    taken: list[torch.Tensor] = []
    (linear,) = (module for module in model.modules() if getattr(module, "weight", None) is attention.projection)
    handle = linear.register_forward_pre_hook(lambda _, args: taken.append(args[0]))
    model(images)
    handle.remove()
    torch.testing.assert_close(mixed, taken[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MULTI_HEAD)
def test_weights_times_values_projected_are_what_multi_head_attention_gives(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images()
    module = [attention.name for attention in observe(model, images).attentions][1]
    trace = observe(model, images, layers=[module])
    attention = trace.attentions[1]
    mixed = (attention.weights @ attention.values).transpose(1, 2).flatten(2)
    given = mixed @ attention.projection.T + model.get_submodule(module).out_proj.bias
    torch.testing.assert_close(given, trace.layers[module], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["timm_vit", "hf_vit_eager", "torch_encoder"])
def test_the_model_is_as_before(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images()
    expected = record(model, images).logits
    observe_blocks(model, images)
    assert torch.equal(record(model, images).logits, expected)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_recording_keeps_names_sizes_and_grid() -> None:
    model, images = CASES["timm_siglip"].model(), CASES["timm_siglip"].images()
    seen = record(model, images)
    assert seen.names == ("blocks.0.attn", "blocks.1.attn", "blocks.2.attn", "attn_pool")
    assert seen.sizes == (16, 16, 16, None)
    assert seen.grid == (4, 4)
    assert find_blocks(model, images) == ("blocks.0", "blocks.1", "blocks.2")
    assert not seen.logits.requires_grad


class TestRefusals:
    """What has no blocks to read."""

    @pytest.mark.parametrize(("name", "error"), [("timm_swin", NoGlobalAttention), ("timm_resnet", NothingObserved)])
    def test_models_without_global_attention(self, name: str, error: type[Exception]) -> None:
        with pytest.raises(error):
            find_blocks(CASES[name].model(), CASES[name].images())

    def test_one_attention_alone(self) -> None:
        model = CASES["timm_vit"].model()
        model.blocks = model.blocks[:1]
        with pytest.raises(NoGlobalAttention, match=r"runs one attention alone, in `blocks.0.attn`, and which"):
            find_blocks(model, CASES["timm_vit"].images())

    def test_tokens_first(self) -> None:
        class TokensFirst(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.patches = nn.Conv2d(3, 32, 8, 8)
                layer = nn.TransformerEncoderLayer(32, 2, 64)
                self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
                self.head = nn.Linear(32, 7)

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                return self.head(self.encoder(self.patches(images).flatten(2).permute(2, 0, 1)).mean(0))

        with pytest.raises(NoTokenGrid, match=r"passes on \(16, 2, 32\), not \(batch, tokens, width\)"):
            observe_blocks(TokensFirst(), torch.randn(2, 3, 32, 32))
