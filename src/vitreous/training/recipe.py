"""A training recipe: one frozen record, read from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, Literal

from vitreous.errors import DataError, UnknownName
from vitreous.settings.typed import Seed
from vitreous.training.field_source import FieldSource
from vitreous.training.toml_records import check_range, read_record, write_record

__all__ = [
    "RECIPES",
    "Augment",
    "Distill",
    "Optimizer",
    "Recipe",
    "find_recipe",
    "read_recipe",
    "shipped_recipes",
]

RECIPES = Path(__file__).parent / "recipes"
"""Those of classifiers that come with vitreous."""


@dataclass(frozen=True)
class Augment:
    """What is done to each training picture; each is off at 0 or "".

    Attributes:
        scale: least and largest share of the picture's area that is cropped.
        flip: probability of a left-right flip.
        color_jitter: strength of brightness, contrast and saturation changes; not together with `auto_augment`.
        auto_augment: timm's policy string, "rand-m7-mstd0.5" for RandAugment.
        erasing: probability that a rectangle is replaced by noise.
        mixup: α of Mixup; mixes whole batches.
        cutmix: α of CutMix; mixes whole batches.
    """

    scale: tuple[float, float] = (0.35, 1.0)
    flip: float = 0.5
    color_jitter: float = 0.0
    auto_augment: str = ""
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, 0.0, 1.0, "scale", "flip", "erasing")
        check_range(self, 0.0, inf, "color_jitter", "mixup", "cutmix")
        if self.scale[0] > self.scale[1]:
            raise DataError(f"`scale` is {self.scale}. Give the least share first.")


@dataclass(frozen=True)
class Optimizer:
    """AdamW or SGD, warmed up and let down along a cosine.

    Attributes:
        name: "adamw" or "sgd".
        momentum: of "sgd".
        lr: the highest learning rate.
        min_lr: the lowest, at the end.
        warmup_lr: the first.
        warmup_epochs: epochs from `warmup_lr` up to `lr`; fewer than there are in all.
        layer_decay: what `lr`, which is the head's, is multiplied by from one layer to the one before it: 1 for the
            same everywhere, about 0.7 to keep most of what trained weights know, 0 to train the head alone.
        weight_decay: not applied to biases, norms, nor what the model excepts (positions and class token, mostly).
        clip: largest norm of the gradient; 0 for no limit.
        ema: decay of the moving average of the weights, which is what is kept; 0 keeps the weights as they are.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    lr: float = 1e-3
    min_lr: float = 1e-5
    warmup_lr: float = 1e-5
    warmup_epochs: int = 3
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.999

    def __post_init__(self) -> None:
        check_range(self, 0.0, inf, "lr", "min_lr", "warmup_lr", "warmup_epochs", "weight_decay", "clip")
        check_range(self, 0.0, 1.0, "momentum", "layer_decay", "ema")


@dataclass(frozen=True)
class Distill:
    """Learn from a trained ViT as well as from the labels.

    Each picture is augmented in `views` fixed ways in turn, so that the teacher needs to see each view only once
    (Shen & Xing, A Fast Knowledge Distillation Framework, ECCV 2022). The student matches its class scores, and its
    tokens, through linear maps that are thrown away. Its tokens lie on the student's grid.

    Attributes:
        teacher: a ViT in timm's registry.
        image_size: the pictures are enlarged to this before the teacher sees them.
        classes: for each class of the data, its index among the teacher's.
        probe: let a linear classifier of the data's classes, trained first on the teacher's class token, give the
            class scores, in place of `classes`.
        views: fixed views of each picture, whose answers are kept in a file while the run lasts; 0 for new ones in
            every epoch, about which the teacher is asked each time, mixed where the recipe mixes (Beyer et al.,
            Knowledge distillation: a good teacher is patient and consistent, CVPR 2022).
        temperature: softens both sides' class probabilities.
        logits: weight of the match of class scores; the labels weigh 1.
        tokens: weight of the match of the final tokens, by their cosine.
        hints: weight of the match of tokens before the first block and after each with the teacher's at that share of
            its depth, in units of the spread of its channels.
        blockwise: epochs at the start in which every block learns from the teacher's tokens, not from those of the
            block before it.
    """

    teacher: str
    image_size: int
    classes: tuple[int, ...] = ()
    probe: bool = False
    views: int = 4
    temperature: float = 2.0
    logits: float = 1.0
    tokens: float = 1.0
    hints: float = 0.0
    blockwise: int = 0

    def __post_init__(self) -> None:
        check_range(self, 1.0, inf, "image_size")
        check_range(self, 0.0, inf, "views", "temperature", "logits", "tokens", "hints", "blockwise")
        if self.probe and self.classes:
            raise DataError("[distill] sets `probe` and `classes`, and each gives the class scores. Set one of them.")
        if self.logits and not (self.probe or self.classes):
            raise DataError(
                "[distill] matches class scores and does not say which. Set `probe` to true, or list the teacher's "
                "`classes`, or set `logits` to 0."
            )
        if not self.temperature:
            raise DataError("`temperature` of [distill] is 0. Give a number above it.")
        if self.blockwise and not self.hints:
            raise DataError("`blockwise` learns by hints, and `hints` of [distill] is 0. Give it a weight.")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how a classifier is trained, the pictures aside.

    Attributes:
        architecture: a name in timm's registry; empty for that of the weights that training starts from, whose
            `image_size` (where it is 0), `crop_pct`, `mean` and `std` are then taken as well.
        image_size: side of the model's square input.
        arguments: keyword arguments for the architecture.
        epochs: times through the pictures.
        batch_size: pictures per step of the optimizer, over all processes.
        accumulate: parts in which a step's pictures go through the model, for memory; each is mixed and normalised (by
            batch norms) on its own.
        balance: how far small classes are shown more often: 0 shows each picture once an epoch, 1 all classes equally
            often; an epoch is as long as ever.
        smoothing: label smoothing.
        drop_path: stochastic depth, the rate of the last block.
        mean: of each color channel, in [0, 1], subtracted from the pictures.
        std: of each color channel, by which they are then divided.
        crop_pct: side of the centre crop, by which the model is judged and later used, to the resized shorter side.
        bf16: compute in bfloat16 where torch deems it safe; weights stay float32.
        channels_last: keep feature maps with channels last, which some GPUs convolve faster.
        compile: run the model through `torch.compile`.
        seed: of every random choice.
    """

    architecture: str
    image_size: int
    epochs: int
    batch_size: int = 64
    accumulate: int = 1
    balance: float = 0.0
    smoothing: float = 0.1
    drop_path: float = 0.0
    crop_pct: float = 1.0
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    bf16: bool = False
    channels_last: bool = False
    compile: bool = False
    seed: Seed = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    augment: Augment = field(default_factory=Augment)
    optimizer: Optimizer = field(default_factory=Optimizer)
    distill: Distill | None = None
    fields: FieldSource | None = None

    def __post_init__(self) -> None:
        check_range(self, 1.0 if self.architecture else 0.0, inf, "image_size")
        check_range(self, 1.0, inf, "epochs", "batch_size")
        check_range(self, 0.0, 1.0, "mean")
        check_range(self, 1e-3, inf, "std")
        check_range(self, 0.0, 1.0, "balance", "smoothing", "drop_path")
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise DataError(
                f"`batch_size` {self.batch_size} is no multiple of `accumulate` {self.accumulate}. "
                "Change one, so that a step has parts of one size."
            )
        rising = self.optimizer.warmup_epochs
        if rising >= self.epochs and self.optimizer.warmup_lr != self.optimizer.lr:
            raise DataError(
                f"`warmup_epochs` is {rising} of {self.epochs} epochs, so the learning rate never comes to `lr`. "
                "Set fewer of them in [optimizer], 0 for none, or train for more epochs."
            )
        if not 0 < self.crop_pct <= 1:
            raise DataError(f"`crop_pct` is {self.crop_pct:g}. Give a share of the side, above 0 and up to 1.")
        if self.drop_path and "drop_path_rate" in self.arguments:
            raise DataError("`drop_path` and `drop_path_rate` of the arguments are one thing. Set one of them.")
        if self.augment.auto_augment and self.augment.color_jitter:
            raise DataError(
                "auto_augment changes colors itself. Set color_jitter to 0, or auto_augment to the empty text."
            )
        if self.distill and self.distill.views and (self.augment.mixup or self.augment.cutmix):
            raise DataError(
                "the recipe mixes pictures (mixup or cutmix) and distills from fixed views, which are never mixed. "
                "Set `views` in [distill] to 0, so that the teacher sees what the student sees, or mixup and cutmix to "
                "0."
            )
        if self.distill and self.distill.hints and self.compile:
            raise DataError("hints are read between blocks, which `compile` fuses. Set one of them alone.")
        if self.distill and self.distill.blockwise >= self.epochs:
            raise DataError(
                f"{self.distill.blockwise} of {self.epochs} epochs are `blockwise`. Leave some for all blocks together."
            )
        if self.fields:
            if self.distill:
                raise DataError("[distill] and [fields] cannot be combined. Drop one of them.")
            if both := self.fields.arguments.keys() & self.arguments:
                raise DataError(f"[fields] decides on `{min(both)}`, and so do the arguments. Leave it out there.")
            if self.fields.warm_epochs >= self.epochs:
                raise DataError(
                    f"{self.fields.warm_epochs} of {self.epochs} epochs are `warm_epochs`. Leave some for the fields."
                )

    def lasting(self, epochs: int) -> Recipe:
        """The same for another number of epochs, of which the warm-up leaves at least one."""
        rising = min(self.optimizer.warmup_epochs, epochs - 1)
        return replace(self, epochs=epochs, optimizer=replace(self.optimizer, warmup_epochs=rising))

    @property
    def model_arguments(self) -> dict[str, Any]:
        """Keyword arguments for the architecture, those that its fields need included."""
        return {**self.arguments, **(self.fields.arguments if self.fields else {})}

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the model card."""
        return asdict(self)

    def to_toml(self) -> str:
        """What `read_recipe` reads."""
        return write_record(self.to_json())


def shipped_recipes(folder: Path = RECIPES) -> dict[str, Path]:
    """The recipes that come with vitreous, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_recipe(name: str, folder: Path = RECIPES) -> Path:
    """Where a recipe is: one that comes with vitreous by its name, any other by its path.

    Raises:
        UnknownName: it is neither.
    """
    shipped = shipped_recipes(folder)
    if name in shipped:
        return shipped[name]
    if Path(name).suffix or Path(name).exists():
        return Path(name)
    raise UnknownName("recipe", name, shipped)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file.

    Raises:
        DataError: the file is missing, is no TOML, lacks a value or has one of another type.
        UnknownName: it sets something that does not exist.
    """
    return read_record(Recipe, path)
