"""A sparse autoencoder of a model's patch tokens in a folder: itself, what it is worth, and its features on a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from markupsafe import Markup

from vitreous.data.depth import Window
from vitreous.errors import ShapeError
from vitreous.files.ledger import full_path, told_from
from vitreous.files.manifest import claim, digest_of, now
from vitreous.files.writing import alone_in, check_writable
from vitreous.inside.autoencoder import load_autoencoder
from vitreous.inside.autoencoder_measuring import MeasuredAutoencoder, measure_autoencoder
from vitreous.inside.autoencoder_training import TrainedAutoencoder, train_autoencoder
from vitreous.inside.concept_page import concept_figures
from vitreous.inside.concepts import Concepts
from vitreous.inside.fidelity import rows_of
from vitreous.inside.found_page import FoundPage, write_found
from vitreous.inside.gathered import Gathered, gather, open_pictures
from vitreous.inside.saelens import WEIGHTS
from vitreous.masking.forward import Progress
from vitreous.models.loaded import LoadedModel
from vitreous.render import page
from vitreous.render.numbers import number

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["JOB", "AutoencoderJob", "AutoencoderPage", "FeatureRow", "autoencoder_page", "feature_rows"]

JOB = "autoencoder"
"""Whose the output folder is."""
FILES = ("autoencoder.html", "autoencoder.csv", "autoencoder.safetensors")
_SHOWN = 10
_HOW = (
    "Few features make up each patch's token. Shown are those that hold the most of all tokens: maps are bright where "
    "a patch has much of a feature, on one scale for all pictures; below them, the patches that have the most, in "
    "their surroundings. What a feature means is for you to see."
)


@dataclass(frozen=True)
class AutoencoderJob:
    """What is to be trained, or measured, and on what.

    Attributes:
        model: from `vitreous.load`.
        place: of the pictures, as in `open_pictures`.
        layer: as in `train_autoencoder` or `measure_autoencoder`; likewise `batch_size`.
        features: as in `train_autoencoder`; likewise `steps`. None where a file is given.
        k: as in `train_autoencoder`, or in `load_autoencoder` where a file is given.
        limit: pictures drawn at random; 0 takes all.
        seed: of the pictures and of the training.
        output: the folder for the page, the table, the autoencoder and the manifest.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        file: of an autoencoder that is measured and not trained; None to train one.
        centered: as in `load_autoencoder`.
    """

    model: LoadedModel
    place: str
    layer: str = ""
    features: int | None = 512
    k: int | None = 16
    steps: int | None = 2000
    limit: int = 256
    seed: int = 0
    batch_size: int = 8
    output: Path = Path("autoencoder")
    window: Window = None
    file: Path | None = None
    centered: bool | None = None


@dataclass(frozen=True)
class FeatureRow:
    """A feature, over all pictures.

    Attributes:
        feature: its number, from 0.
        tokens: the share of the tokens that have it.
        much: how much of it those have, the mean.
        share: Σ much² over that of all features.
    """

    feature: int
    tokens: float
    much: float
    share: float


@dataclass(frozen=True)
class AutoencoderPage:
    """What was made.

    Attributes:
        page: the file.
        about: what it is worth, by name, in words.
        unread: pictures that could not be read, and why.
    """

    page: Path
    about: Sequence[tuple[str, str]]
    unread: dict[str, str]


def autoencoder_page(job: AutoencoderJob, progress: Progress | None = None) -> AutoencoderPage:
    """Train or measure an autoencoder, and write `autoencoder.safetensors`, `autoencoder.csv` and `autoencoder.html`.

    Args:
        job: what is to be done.
        progress: told how many steps are done, of how many.

    Raises:
        DataError: the pictures, the file or the output folder cannot be used, or the folder is another command's.
        ShapeError: no token of the pictures has any feature.
        ExplainError: as `train_autoencoder`, or `measure_autoencoder`.
    """
    check_writable(job.output)
    given = job.file and load_autoencoder(job.file, k=job.k, centered=job.centered)
    with alone_in(job.output):
        started = now()
        every = open_pictures(job.place, job.window)
        claim(job.output, JOB, FILES)
        pictures = gather(job.model, every, job.limit, job.seed)
        if given:
            made = measure_autoencoder(job.model, pictures.images, given, layer=job.layer, batch_size=job.batch_size)
        else:
            asked = {name: getattr(job, name) for name in ("layer", "features", "k", "steps", "seed", "batch_size")}
            made = train_autoencoder(job.model, pictures.images, progress=progress, **asked)
        about, rows = _about(job, pictures, made), feature_rows(made)
        if not rows:
            raise ShapeError(
                f"no token of `{made.autoencoder.layer}` has any of {made.dead} features. Give the layer that the "
                "autoencoder is of, --layer; if tokens were scaled for it, fold that into its weights."
            )
        kept = made.fidelity
        told = {
            "started": started,
            "fingerprint": every.fingerprint,
            "read": made.autoencoder.layer,
            "held_out": [pictures.entries[at].id for at in _held_out(made)],
            "file": job.file and told_from(job.output, full_path(job.file)),
            "file_sha256": job.file and digest_of(job.file / WEIGHTS if job.file.is_dir() else job.file),
            **asdict(kept),
            "recovered_zero": kept.recovered_zero,
            "recovered_mean": kept.recovered_mean,
            "dead": made.dead,
        }
        parts = _parts(job, pictures, made, rows)
        found = FoundPage("Sparse autoencoder", about, parts, rows, made.autoencoder.save, told)
        html = write_found(job, FILES, pictures, found)
    return AutoencoderPage(html, about, pictures.unread)


def _held_out(made: MeasuredAutoencoder) -> tuple[int, ...]:
    return made.held_out if isinstance(made, TrainedAutoencoder) else ()


def feature_rows(made: MeasuredAutoencoder) -> list[FeatureRow]:
    """A row for each feature that a token has, that which holds the most of all tokens first."""
    there, total, held = torch.zeros(3, len(made.autoencoder.encoder_bias), dtype=torch.float64)
    for part in made.features:
        much = made.autoencoder.encode(rows_of(part[None])).double()
        there += (much > 0).sum(0)
        total += much.sum(0)
        held += much.square().sum(0)
    tokens = len(made.features) * made.features[0, 0].numel()
    order = held.argsort(descending=True, stable=True)
    return [
        FeatureRow(at, there[at].item() / tokens, (total[at] / there[at]).item(), (held[at] / held.sum()).item())
        for at in order.tolist()
        if there[at]
    ]


def _about(job: AutoencoderJob, pictures: Gathered, made: MeasuredAutoencoder) -> list[tuple[str, str]]:
    kept, own, held = made.fidelity, made.autoencoder, len(_held_out(made))
    largest = f"{own.k} of a token at most" if own.k else "of a token all that are there"

    def recovered(share: float | None, by: str) -> str:
        return f"{share:.1%} against {by}" if share is not None else f"{by} do not move the decision"

    about = [
        ("pictures", f"{len(pictures.entries)} of {job.place}" + (f", {held} of them held out" if held else "")),
        ("model", job.model.short_name),
        ("layer", f"`{own.layer}`"),
        ("features", f"{len(own.encoder_bias)}, {largest}; {made.dead} dead"),
        ("explained", f"{kept.explained:.1%} of the variance of tokens" + (" held out" if held else "")),
        ("active", f"{number(kept.active, '.3g')} features of a token"),
    ]
    if kept.loss is None:
        return about
    sides = recovered(kept.recovered_zero, "zeros"), recovered(kept.recovered_mean, "mean tokens")
    return [*about, ("loss recovered", "; ".join(sides))]


def _parts(
    job: AutoencoderJob, pictures: Gathered, made: MeasuredAutoencoder, rows: Sequence[FeatureRow]
) -> list[Markup]:
    shown = rows[:_SHOWN]
    body = [(str(row.feature), f"{row.tokens:.1%}", number(row.much, ".3g"), f"{row.share:.1%}") for row in shown]
    parts = [page.paragraph(_HOW)]
    parts += [page.table([("feature", "tokens that have it", "how much, mean", "share of all"), *body])]
    found, views = _as_concepts(made, [row.feature for row in shown]), dict[int, "Image"]()
    for at, row in enumerate(shown):
        parts += [page.heading(f"Feature {row.feature}"), *concept_figures(job.model, pictures, found, at, views)]
    return parts


def _as_concepts(made: MeasuredAutoencoder, features: list[int]) -> Concepts:
    """Some of the features as concepts."""
    own, grid = made.autoencoder, made.features.shape[2:]
    maps = [own.encode(rows_of(part[None]))[:, features].mT.unflatten(1, grid) for part in made.features]
    return Concepts(torch.stack(maps), own.decoder[features], own.decoder_bias, made.fidelity.explained, own.layer)
