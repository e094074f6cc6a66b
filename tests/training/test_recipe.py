from __future__ import annotations

from pathlib import Path

import pytest
import torch

import vitreous.models
from vitreous.errors import DataError, UnknownName
from vitreous.models.card import ModelCard
from vitreous.training.batches import preprocess_of
from vitreous.training.field_source import FieldSource
from vitreous.training.recipe import Augment, Distill, Optimizer, Recipe, find_recipe, read_recipe, shipped_recipes


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_recipe_reads() -> None:
    recipe = read_recipe(Path(vitreous.models.__path__[0]) / "default" / "recipe.toml")
    assert recipe.distill is not None
    assert recipe.distill.probe
    assert recipe.augment.scale == (0.35, 1.0)
    assert recipe.optimizer.weight_decay == 0.05


OURS = {"winft_fine_grained": (50, 448), "taught": (40, 128)}  # the others are ImageNet's
MILLIONS = {
    "taught": 2.838,
    "winft_fine_grained": 22.3,
    "deit": 22.05,
    "salg_s": 53.48,
    "salg_st": 6.469,
    "salg_st_base": 6.465,
    "salg_st_global": 7.050,
    "salg_st_msa": 7.054,
    "salg_st_regions": 6.468,
    "salg_t": 32.14,
    "salg_t_base": 32.13,
    "salg_t_global": 41.56,
    "salg_t_msa": 41.57,
    "salg_t_regions": 32.14,
    "swin_s": 49.61,
    "swin_st": 5.505,
    "swin_t": 28.29,
    "winft_imagenet": 22.05,
}


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name != "finetune"])
def test_shipped_recipes_build_the_models_that_they_say(name: str) -> None:
    recipe = read_recipe(find_recipe(name))
    names = tuple(f"class {at}" for at in range(26 if name == "taught" else 1000))
    arguments = {**recipe.arguments, "drop_path_rate": recipe.drop_path}
    with torch.device("meta"):
        model = ModelCard(recipe.architecture, arguments, names, preprocess_of(recipe)).build()
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(MILLIONS[name], rel=2e-3)
    assert (recipe.epochs, recipe.image_size) == OURS.get(name, (300, 224))


def test_recipes_go_by_name_or_path(tmp_path: Path) -> None:
    assert find_recipe("salg_t").name == "salg_t.toml"
    assert find_recipe(str(tmp_path / "mine.toml")) == tmp_path / "mine.toml"
    assert find_recipe(str(tmp_path)) == tmp_path
    with pytest.raises(UnknownName, match=r'no recipe named "salg"\. Did you mean "salg_.*Known: deit, finetune'):
        find_recipe("salg")


@pytest.mark.parametrize("rising", [3, 4])
def test_a_learning_rate_that_only_rises_is_refused(rising: int) -> None:
    with pytest.raises(DataError, match=rf"`warmup_epochs` is {rising} of 3 epochs, .* never comes to `lr`"):
        Recipe("vit_tiny_patch16_224", 32, epochs=3, optimizer=Optimizer(warmup_epochs=rising))
    Recipe("vit_tiny_patch16_224", 32, epochs=3, optimizer=Optimizer(warmup_epochs=rising, lr=1e-5))  # it stays
    short = Recipe("vit_tiny_patch16_224", 32, epochs=9, optimizer=Optimizer(warmup_epochs=rising)).lasting(2)
    assert (short.epochs, short.optimizer.warmup_epochs) == (2, 1)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no recipe at"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(DataError, match=r"is not TOML.*line 1"):
        read_recipe(write(tmp_path / "a.toml", "epochs == 3"))
    with pytest.raises(DataError, match="does not set `image_size` of the recipe"):
        read_recipe(write(tmp_path / "b.toml", 'architecture = "vit_tiny_patch16_224"'))
    with pytest.raises(UnknownName, match=r'no recipe setting in c.toml named "epoch"\. Did you mean "epochs"'):
        read_recipe(write(tmp_path / "c.toml", "epoch = 3"))
    for text in ("[optimizer]\nlearning_rate = 1", "learning_rate = 1"):
        with pytest.raises(UnknownName, match=r'named "learning_rate"\. Did you mean "\[optimizer\] lr"\?'):
            read_recipe(write(tmp_path / "d.toml", text))
    with pytest.raises(DataError, match=r"`epochs` of .* is 'ten'\. Give a whole number"):
        read_recipe(write(tmp_path / "e.toml", 'epochs = "ten"'))
    with pytest.raises(DataError, match=r"`scale` of .* is \[0.4\]\. Give two finite numbers"):
        read_recipe(write(tmp_path / "f.toml", "[augment]\nscale = [0.4]"))
    with pytest.raises(DataError, match=r"`flip` of .* is True\. Give a finite number"):
        read_recipe(write(tmp_path / "g.toml", "[augment]\nflip = true"))
    with pytest.raises(DataError, match=r"`bf16` of .* is 1\. Give true or false"):
        read_recipe(write(tmp_path / "i.toml", "bf16 = 1"))
    with pytest.raises(UnknownName, match=r'no value of `kind` named "statik"\. Did you mean "static"\?'):
        read_recipe(write(tmp_path / "k.toml", '[fields]\nkind = "statik"'))
    with pytest.raises(DataError, match=r"does not set `kind` of \[fields\]"):
        read_recipe(write(tmp_path / "l.toml", "[fields]\nradius = 1"))
    with pytest.raises(DataError, match=r"`epochs` is 0\. Give a value of at least 1"):
        read_recipe(write(tmp_path / "m.toml", 'architecture = "a"\nimage_size = 8\nepochs = 0'))
    with pytest.raises(DataError, match=r"`lr` is -1\.0\. Give a value of at least 0"):
        read_recipe(write(tmp_path / "n.toml", "[optimizer]\nlr = -1.0"))
    with pytest.raises(DataError, match=r"`ema` of .* is nan\. Give a finite number"):
        read_recipe(write(tmp_path / "o.toml", "[optimizer]\nema = nan"))
    with pytest.raises(DataError, match=r"`scale` is \(-1\.0, 2\.0\)\. Give values from 0 to 1"):
        read_recipe(write(tmp_path / "p.toml", "[augment]\nscale = [-1.0, 2.0]"))
    with pytest.raises(DataError, match=r"`scale` is \(0\.9, 0\.2\)\. Give the least share first"):
        read_recipe(write(tmp_path / "q.toml", "[augment]\nscale = [0.9, 0.2]"))
    with pytest.raises(DataError, match=r"`distill` of .* is 3\. Give a section"):
        read_recipe(write(tmp_path / "h.toml", "distill = 3"))


DISTILL = {"teacher": "vit_tiny_patch16_224", "image_size": 32}


def test_a_teachers_section_says_what_is_learned() -> None:
    with pytest.raises(DataError, match="sets `probe` and `classes`, and each gives the class scores"):
        Distill(**DISTILL, probe=True, classes=(1, 2))
    with pytest.raises(DataError, match="matches class scores and does not say which"):
        Distill(**DISTILL)
    with pytest.raises(DataError, match=r"`temperature` of \[distill\] is 0"):
        Distill(**DISTILL, probe=True, temperature=0.0)
    with pytest.raises(DataError, match=r"`blockwise` learns by hints, and `hints` of \[distill\] is 0"):
        Distill(**DISTILL, probe=True, blockwise=1)
    with pytest.raises(DataError, match=r"`hints` is -1\.0\. Give a value of at least 0"):
        Distill(**DISTILL, probe=True, hints=-1.0)
    hinted = Distill(**DISTILL, logits=0.0, hints=1.0, blockwise=4)
    with pytest.raises(DataError, match="4 of 4 epochs are `blockwise`"):
        Recipe("vit_tiny_patch16_224", 32, epochs=4, distill=hinted)
    with pytest.raises(DataError, match="hints are read between blocks, which `compile` fuses"):
        Recipe("vit_tiny_patch16_224", 32, epochs=5, distill=hinted, compile=True)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    distill = Distill("vit_tiny_patch16_224", 160, (3, 5))
    arguments = {"img_size": 16, "global_pool": "token", "nested": {"a": [1, 2], "b": True}}
    recipe = Recipe("vit_tiny_patch16_224", 16, 4, arguments=arguments, distill=distill)
    assert read_recipe(write(tmp_path / "r.toml", recipe.to_toml())) == recipe
    guided = Recipe("winft_tiny", 16, 4, fields=FieldSource("static", density=0.5, indicator="strength"))
    assert read_recipe(write(tmp_path / "g.toml", guided.to_toml())) == guided


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    text = 'architecture = "vit_tiny_patch16_224"\nimage_size = 16\nepochs = 4\n[augment]\nscale = [0, 1]\nflip = 1'
    assert read_recipe(write(tmp_path / "r.toml", text)).augment == Augment(scale=(0.0, 1.0), flip=1.0)
