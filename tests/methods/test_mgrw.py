"""What the search must find, on classifiers whose decision is known."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.contract.zoo import CASES
from vitreous.errors import DegenerateMap, ModelError, ShapeError, UnknownName
from vitreous.methods import make_method
from vitreous.methods.explanation import Explanation
from vitreous.methods.mgrw import MGRW
from vitreous.methods.reduct import Level, Reduct, best_walk, survivors
from vitreous.trace.target import Classes

SIDE = 4


class Planted(nn.Module):
    """Class 0 scores the brightness of known blocks (y, x) on a grid; the class token looks at block (0, 0) most."""

    def __init__(self, blocks: tuple[tuple[int, int], ...], grid: tuple[int, int], start: tuple[int, int]) -> None:
        super().__init__()
        self.blocks, self.grid = blocks, grid
        self.patches = nn.Conv2d(3, 4, SIDE, SIDE)
        bias = torch.zeros(1 + grid[0] * grid[1])
        bias[1 + start[0] * grid[1] + start[1]] = 5.0
        self.register_buffer("bias", bias.expand(1, 1, len(bias), -1).clone())

    def forward(self, images: Tensor) -> Tensor:
        tokens = F.pad(self.patches(images).flatten(2).mT, (0, 0, 1, 0))[:, None]
        mixed = F.scaled_dot_product_attention(tokens * 0, tokens * 0, tokens, attn_mask=self.bias)
        means = F.adaptive_avg_pool2d(images.mean(1), self.grid)
        bright = sum((means[:, y, x] for y, x in self.blocks), torch.zeros(len(images)))
        return torch.stack([3 * bright + 1e-7 * mixed[:, 0, 0].sum(1), torch.zeros(len(images))], 1)


class Shift(nn.Module):
    """So sure of class 0 that its probability is 1, whatever is hidden."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits + torch.tensor([1000.0, 0.0])


def planted(
    blocks: tuple[tuple[int, int], ...], grid: tuple[int, int] = (5, 6), start: tuple[int, int] = (0, 0)
) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return Planted(blocks, grid, start), torch.rand(1, 3, SIDE * grid[0], SIDE * grid[1]) * 0.2 + 0.8


def search(model: nn.Module, images: Tensor, **settings: Any) -> Explanation:
    return MGRW(**{"mean": (0.0,) * 3, "std": (1.0,) * 3, **settings})(model, images, Classes((0,)))


def reduct(explanation: Explanation, at: int = 0) -> Reduct:
    found = explanation.details[at]
    assert isinstance(found, Reduct)
    return found


def nodes(level: Level) -> set[tuple[int, ...]]:
    return {tuple(at) for at in level.kept.nonzero().tolist()}


@pytest.mark.parametrize(("scale", "score", "threshold"), [("max", "probability", 0.3), ("absolute", "logit", 0.5)])
def test_the_reduct_is_the_planted_blocks(scale: str, score: str, threshold: float) -> None:
    blocks = ((2, 2), (2, 3), (3, 3))
    model, images = planted(blocks)
    found = search(model, images, scale=scale, score=score, coarse_threshold=threshold)
    assert nodes(reduct(found).coarse) == set(blocks)
    assert (found.heatmap[0] > 0).nonzero().tolist() == [list(at) for at in sorted(blocks)]
    assert found.heatmap.max() == 1


def test_walks_start_where_attention_is_largest() -> None:
    model, images = planted(((2, 2),), start=(3, 4))
    assert reduct(search(model, images)).coarse.walks[0][0] == 3 * 6 + 4


def test_hiding_everything_is_the_black_image() -> None:
    model, images = planted(((0, 0), (0, 1)), grid=(1, 2))
    level = reduct(search(model, images)).coarse
    with torch.no_grad():
        scores = [model(each)[0].double().softmax(0)[0].item() for each in (images, images * 0)]
    assert level.walks == ((0, 1),)
    assert level.importance == pytest.approx(scores[0] - scores[1], rel=1e-6)


def test_fine_blocks_are_children_of_coarse_ones() -> None:
    model, images = planted(((1, 1),), grid=(2, 3))
    fine = Planted(((2, 3),), (4, 6), (0, 0))
    fine.patches = nn.Conv2d(3, 4, SIDE // 2, SIDE // 2)
    found = search(model, images, fine=fine)
    assert nodes(reduct(found).coarse) == {(1, 1)}
    assert nodes(reduct(found).finest) == {(2, 3)}
    assert set(reduct(found).finest.walks[0]) <= {2 * 6 + 2, 2 * 6 + 3, 3 * 6 + 2, 3 * 6 + 3}
    assert found.heatmap.shape == (1, 4, 6)


def test_parts_that_do_not_touch_are_each_searched() -> None:
    corners = ((0, 0), (3, 3))
    model, images = planted(corners, grid=(4, 4))
    fine = Planted(((0, 1), (7, 6)), (8, 8), (0, 0))
    fine.patches = nn.Conv2d(3, 4, SIDE // 2, SIDE // 2)
    found = reduct(search(model, images, fine=fine, length=60))
    assert nodes(found.coarse) == set(corners)
    assert len(found.finest.walks) == 2
    assert nodes(found.finest) == {(0, 1), (7, 6)}


def test_the_same_model_is_searched_on_halves_of_its_patches() -> None:
    model, images = planted(((1, 1),), grid=(2, 3))
    with torch.no_grad():
        images[:, :, SIDE : SIDE + 2, SIDE : 2 * SIDE] = 0  # only the lower half of the block is bright
    found = search(model, images, fine="same")
    assert nodes(reduct(found).coarse) == {(1, 1)}
    assert nodes(reduct(found).finest) == {(3, 2), (3, 3)}
    assert found.heatmap.shape == (1, 4, 6)


def test_patches_that_cannot_be_halved_are_refused() -> None:
    torch.manual_seed(0)
    model = Planted(((1, 1),), (3, 3), (0, 0))
    model.patches = nn.Conv2d(3, 4, 3, 3)
    with pytest.raises(ShapeError, match='fine="same" halves the patches, and 6×6 blocks do not tile 9×9 pixels'):
        search(model, torch.rand(1, 3, 9, 9), fine="same")


def test_fine_walks_may_keep_to_their_coarse_block() -> None:
    model, images = planted(((1, 1), (1, 2)), grid=(3, 4))
    together, apart = (
        reduct(search(model, images, fine="same", fine_graph=graph)).finest for graph in ("parts", "blocks")
    )
    assert len(together.walks) == 1
    inside = [{(node // 8 // 2, node % 8 // 2) for node in walked} for walked in apart.walks]
    assert inside == [{(1, 1)}, {(1, 2)}]


class Corner(Planted):
    """Scores the brightness of its block where the first one is dark, of another where it is bright."""

    def forward(self, images: Tensor) -> Tensor:
        scores = super().forward(images)
        means = F.adaptive_avg_pool2d(images.mean(1), self.grid)
        bright = torch.stack([3 * means[:, 3, 2], torch.zeros(len(images))], 1) + 1e-7 * scores
        return torch.where(means[:, :1, 0] < 0.5, scores, bright)


def test_the_coarse_reduct_alone_may_be_seen() -> None:
    model, images = planted(((1, 1),), grid=(2, 3))
    fine = Corner(((2, 3),), (4, 6), (0, 0))
    fine.patches = nn.Conv2d(3, 4, SIDE // 2, SIDE // 2)
    assert nodes(reduct(search(model, images, fine=fine)).finest) == {(3, 2)}
    assert nodes(reduct(search(model, images, fine=fine, context="reduct")).finest) == {(2, 3)}


class Both(nn.Module):
    """The darker half of the picture decides: hiding one block does what hiding both does."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        looks = self.inner(images)
        darker = torch.minimum(images[..., :SIDE].mean((1, 2, 3)), images[..., SIDE:].mean((1, 2, 3)))
        return torch.stack([3 * darker + 1e-7 * looks[:, 0], looks[:, 1]], 1)


def test_blocks_of_which_one_is_enough_are_told_one_by_one() -> None:
    model, images = planted((), grid=(1, 2))
    at_once, one_by_one = (
        reduct(search(Both(model), images, sequential=sequential)).coarse for sequential in (False, True)
    )
    assert at_once.losses.max() < 1e-6
    assert int(one_by_one.kept.sum()) == 1
    assert one_by_one.losses.max().item() == pytest.approx(one_by_one.importance, rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_no_batch_size_changes_anything(batch_size: int) -> None:
    case = CASES["timm_vit"]
    model, images = case.model().double(), case.images(3).double()
    settings = {"walks": 30, "fill": "blur", "fine": case.model().double()}
    whole = MGRW(**settings)(model, images)
    parts = [MGRW(**settings, batch_size=batch_size)(model, image[None]) for image in images]
    for at, part in enumerate(parts):
        assert [*reduct(part).levels] == ["coarse", "fine"]
        assert reduct(part).to_json()["fine"]["walks"] == reduct(whole, at).to_json()["fine"]["walks"]
        torch.testing.assert_close(part.heatmap[0], whole.heatmap[at])


def test_images_stay_as_they_were() -> None:
    model, images = planted(((1, 1),))
    before = images.clone()
    search(model, images)
    assert torch.equal(images, before)


def test_progress_is_told_to_the_end() -> None:
    case, told = CASES["timm_vit"], list[tuple[int, int]]()
    MGRW(walks=20, fill="mean", batch_size=4)(case.model(), case.images(), progress=lambda *at: told.append(at))
    done, totals = [at[0] for at in told], {at[1] for at in told}
    assert done == sorted(done)
    assert {done[-1]} == totals


def test_one_of_equal_walks() -> None:
    values, sizes = torch.tensor([0.2, 0.5, 0.5, 0.5]), torch.tensor([1, 3, 2, 2])
    assert best_walk(values, sizes, torch.ones(4, dtype=torch.bool)) == 2
    assert best_walk(values, sizes, torch.tensor([True, False, False, False])) == 0


def test_the_largest_loss_stays_where_none_passes() -> None:
    for losses in ([0.01, 0.02], [-0.02, -0.01]):
        assert survivors(torch.tensor(losses), 0.5, 0.3, "absolute").tolist() == [False, True]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"directions": 6}, UnknownName, "directions"),
        ({"walks": 0}, ShapeError, "`walks` must be at least 1; got 0"),
        ({"fine": "timm:vit_base_patch16_224"}, ModelError, "go through vitreous.explain"),
        ({"mean": (), "std": ()}, ShapeError, "Give mean= and std="),
        ({"fine": CASES["torch_encoder"].model()}, ShapeError, "has 2 classes and the fine one 7"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], error: type[Exception], words: str) -> None:
    model, images = planted(((1, 1),), grid=(8, 8))
    with pytest.raises(error, match=words):
        search(model, images, **settings)


@pytest.mark.parametrize(("patch", "blocks"), [(8, 2), (3, 5)])
def test_a_fine_model_must_be_finer_and_tile_the_picture(patch: int, blocks: int) -> None:
    model, images = planted(((1, 1),), grid=(4, 4))
    fine = Planted(((1, 1),), (blocks, blocks), (0, 0))
    fine.patches = nn.Conv2d(3, 4, patch, patch)
    with pytest.raises(ShapeError, match=f"fine model has {blocks}×{blocks} blocks.* 4×4 or do not tile its 16×16"):
        search(model, images, fine=fine)


def test_a_score_that_nothing_changes_is_refused() -> None:
    model, images = planted(((1, 1),))
    sure = nn.Sequential(model, Shift())
    with pytest.raises(DegenerateMap, match=r"no walk that changes the score for image 0. .*score=\"logit\""):
        search(sure, images)
    assert nodes(reduct(search(sure, images, score="logit")).coarse) == {(1, 1)}


def test_table(tmp_path: Path) -> None:
    model, images = planted(((2, 2), (2, 3)))
    found = search(model, images)
    found.save(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "level", "row", "column", "importance", "kept"]
    assert {(row["row"], row["column"]) for row in rows if row["kept"] == "True"} == {("2", "2"), ("2", "3")}
    values = [float(row["importance"]) for row in rows]
    assert values == sorted(values, reverse=True)
    case = CASES["timm_vit"]
    with pytest.raises(ShapeError, match="gives a map and no table"):
        make_method("rollout")(case.model(), case.images()).save(tmp_path / "none.csv")
