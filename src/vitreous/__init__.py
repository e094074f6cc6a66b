"""vitreous: see through Vision Transformers.

import vitreous

model = vitreous.load("timm:vit_base_patch16_224")     # or your own nn.Module
explanation = vitreous.explain(model, "cat.jpg")       # AG-CAM of the predicted class
explanation.save("cat.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING

from vitreous.errors import ExplainError as ExplainError

if TYPE_CHECKING:
    from vitreous.batching.job import Batch as Batch
    from vitreous.batching.job import batch as batch
    from vitreous.data.pictures import open_picture as open_picture
    from vitreous.explaining.explain import explain as explain
    from vitreous.explaining.trust.measure import TrustSettings as TrustSettings
    from vitreous.explaining.trust.measure import trust as trust
    from vitreous.explaining.trust.records import Trust as Trust
    from vitreous.inside.artifact_effects import artifact_effects as artifact_effects
    from vitreous.inside.artifacts import artifacts as artifacts
    from vitreous.inside.artifacts import dataset_artifacts as dataset_artifacts
    from vitreous.inside.autoencoder import SparseAutoencoder as SparseAutoencoder
    from vitreous.inside.autoencoder import load_autoencoder as load_autoencoder
    from vitreous.inside.autoencoder_measuring import measure_autoencoder as measure_autoencoder
    from vitreous.inside.autoencoder_training import train_autoencoder as train_autoencoder
    from vitreous.inside.case_building import build_cases as build_cases
    from vitreous.inside.cases import find_cases as find_cases
    from vitreous.inside.components import components as components
    from vitreous.inside.concepts import concepts as concepts
    from vitreous.inside.effects import concept_effects as concept_effects
    from vitreous.inside.heads import heads as heads
    from vitreous.inside.kinship import cka as cka
    from vitreous.inside.lens import logit_lens as logit_lens
    from vitreous.inside.similarity import similarity as similarity
    from vitreous.interact.indicator import Interactions as Interactions
    from vitreous.interact.patch_removal import prune as prune
    from vitreous.interacting.interactions import interactions as interactions
    from vitreous.methods import METHODS as METHODS
    from vitreous.methods.explanation import Explanation as Explanation
    from vitreous.models.preprocess import Preprocess as Preprocess
    from vitreous.models.zoo import LoadedModel as LoadedModel
    from vitreous.models.zoo import load as load
    from vitreous.render.view import View as View
    from vitreous.reporting.report import report as report
    from vitreous.serving.notebook import live as live
    from vitreous.trace.edit import stop_gradient as stop_gradient
    from vitreous.trace.observe import observe as observe
    from vitreous.trace.recorder import record as record
    from vitreous.trace.target import Classes as Classes
    from vitreous.trace.target import Margin as Margin
    from vitreous.trace.target import Predicted as Predicted

__all__ = [
    "METHODS",
    "Batch",
    "Classes",
    "ExplainError",
    "Explanation",
    "Interactions",
    "LoadedModel",
    "Margin",
    "Predicted",
    "Preprocess",
    "SparseAutoencoder",
    "Trust",
    "TrustSettings",
    "View",
    "artifact_effects",
    "artifacts",
    "batch",
    "build_cases",
    "cka",
    "components",
    "concept_effects",
    "concepts",
    "dataset_artifacts",
    "explain",
    "find_cases",
    "heads",
    "interactions",
    "live",
    "load",
    "load_autoencoder",
    "logit_lens",
    "measure_autoencoder",
    "observe",
    "open_picture",
    "prune",
    "record",
    "report",
    "similarity",
    "stop_gradient",
    "train_autoencoder",
    "trust",
]

__version__ = "0.2.0"

_ROOMS = {
    "Batch": "batching.job",
    "Classes": "trace.target",
    "Explanation": "methods.explanation",
    "Interactions": "interact.indicator",
    "LoadedModel": "models.zoo",
    "METHODS": "methods",
    "Margin": "trace.target",
    "Predicted": "trace.target",
    "Preprocess": "models.preprocess",
    "SparseAutoencoder": "inside.autoencoder",
    "Trust": "explaining.trust.records",
    "TrustSettings": "explaining.trust.measure",
    "View": "render.view",
    "artifact_effects": "inside.artifact_effects",
    "artifacts": "inside.artifacts",
    "batch": "batching.job",
    "build_cases": "inside.case_building",
    "cka": "inside.kinship",
    "components": "inside.components",
    "concept_effects": "inside.effects",
    "concepts": "inside.concepts",
    "dataset_artifacts": "inside.artifacts",
    "explain": "explaining.explain",
    "find_cases": "inside.cases",
    "heads": "inside.heads",
    "interactions": "interacting.interactions",
    "live": "serving.notebook",
    "load": "models.zoo",
    "load_autoencoder": "inside.autoencoder",
    "logit_lens": "inside.lens",
    "measure_autoencoder": "inside.autoencoder_measuring",
    "observe": "trace.observe",
    "open_picture": "data.pictures",
    "prune": "interact.patch_removal",
    "record": "trace.recorder",
    "report": "reporting.report",
    "similarity": "inside.similarity",
    "stop_gradient": "trace.edit",
    "train_autoencoder": "inside.autoencoder_training",
    "trust": "explaining.trust.measure",
}


def __getattr__(name: str) -> object:
    """What is above for the type checker is imported when it is first asked for: a name alone needs no torch."""
    if name not in _ROOMS:
        raise AttributeError(f"module 'vitreous' has no attribute '{name}'")
    found = globals()[name] = getattr(import_module(f"vitreous.{_ROOMS[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
