"""What static fields cost against their density: masked, by tiles of queries, by FlexAttention, by a gather of keys.

    python benchmarks/winft_cost.py [--grid 28] [--batch 4] [--repeats 5]

CPU time of one attention of WinfT-Ti, and of the whole model masked, by tiles and by FlexAttention; least of the
repeats. Fields are windows, and patches at random. torch compiles FlexAttention with the C++ compiler at hand.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from time import process_time

import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.interact.attention_windows import fixed_windows, random_windows
from vitreous.models.registry import registry
from vitreous.models.winft.sparse import SparseAttention
from vitreous.trace.observed import TokenGrid


def gathered(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Every patch with its own keys, padded to the largest field; the class token with all."""
    fields = mask[0, 0, 1:]
    places = fields.float().topk(int(fields.sum(1).max()), sorted=False).indices
    scores = torch.einsum("bhqd,bhqkd->bhqk", query[:, :, 1:], key[:, :, places]) * query.shape[-1] ** -0.5
    weights = scores.masked_fill(~fields.gather(1, places), -torch.inf).softmax(-1)
    patches = torch.einsum("bhqk,bhqkd->bhqd", weights, value[:, :, places])
    return torch.cat([F.scaled_dot_product_attention(query[:, :, :1], key, value), patches], 2)


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    times: list[float] = []
    for _ in range(repeats + 1):  # the first warms up
        start = process_time()
        call()
        times.append(process_time() - start)
    return 1000 * min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", type=int, default=28)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # so that CPU time is time

    side, grid = 16 * options.grid, TokenGrid(1, options.grid, options.grid)
    patches = options.grid**2
    query, key, value = torch.randn(3, options.batch, 3, patches + 1, 64)
    images = torch.randn(options.batch, 3, side, side)
    model = registry().create_model("winft_tiny", img_size=side).eval()
    kinds = {f"window {radius}": fixed_windows(grid, radius) for radius in (1, 2, 3, 5, 8)}
    kinds |= {f"random {share:g}": random_windows(torch.full((patches,), share), grid, 0) for share in (0.01, 0.1, 0.5)}

    ways = {"masked": nullcontext(), "tiles": SparseAttention("tiles"), "flex": SparseAttention("flex")}
    whole = partial(model, images)

    def timed(call: Callable[[], object]) -> str:
        return f"{milliseconds(call, options.repeats):9.1f}"

    print(f"torch {torch.__version__}, one thread, {options.grid}×{options.grid} patches, batch {options.batch}; ms")
    names = [*ways, "gather", *(f"m. {way}" for way in ways)]
    print(f"{'fields':12} density", *(f"{name:>9}" for name in names))
    with torch.no_grad():
        plain = timed(lambda: F.scaled_dot_product_attention(query, key, value))
        print(f"{'all':12} {1:7.3f} {plain} {'':29} {timed(whole)}")
        for name, field in kinds.items():
            mask = F.pad(field, (1, 0, 1, 0), value=True)[None, None]
            masked = partial(F.scaled_dot_product_attention, query, key, value, attn_mask=mask)
            gather = partial(gathered, query, key, value, mask)
            model.set_fields(field.expand(12, patches, patches))
            expected, attentions, models = masked(), list[str](), list[str]()
            torch.testing.assert_close(gather(), expected, rtol=1e-4, atol=1e-5)
            for way in ways.values():
                with way:
                    torch.testing.assert_close(masked(), expected, rtol=1e-4, atol=1e-5)
                    attentions.append(timed(masked))
                    models.append(timed(whole))
            print(f"{name:12} {field.float().mean():7.3f}", *attentions, timed(gather), *models, flush=True)


if __name__ == "__main__":
    main()
