"""How good a detector is."""

from __future__ import annotations

from collections.abc import Generator

from torchvision.models.detection import MaskRCNN

from vitreous.data.objects import Scenes
from vitreous.errors import DataError
from vitreous.metrics.average_precision import DetectionPrecision, DetectionScore
from vitreous.models.detection.card import DetectorCard
from vitreous.models.detection.detect import detect
from vitreous.training.detection.batches import scenes_in_order
from vitreous.training.log import Judged
from vitreous.training.processes import Processes

__all__ = ["check_classes", "judge"]


def check_classes(card: DetectorCard, scenes: Scenes) -> None:
    """Refuse pictures whose objects are of other classes than the detector's.

    Raises:
        DataError: they are.
    """
    if scenes.class_names != card.class_names:
        raise DataError(
            f"the detector knows {_few(card.class_names)}, and `{scenes.folder}` has {_few(scenes.class_names)}. "
            "Give annotations with the same classes."
        )


def _few(names: tuple[str, ...]) -> str:
    return f"{len(names)} classes ({', '.join(names[:5])}{', …' if len(names) > 5 else ''})"


def judge(
    model: MaskRCNN, scenes: Scenes, processes: Processes, *, workers: int = 0
) -> Generator[Judged, None, DetectionScore]:
    """COCO's average precision, over all processes. Yields progress; the model is left in evaluation mode.

    Cost: a forward pass per picture.
    """
    precision = DetectionPrecision()
    model.eval()
    share = scenes_in_order(scenes, workers=workers, rank=processes.rank, count=processes.count)
    for done, (image, objects) in enumerate(share, 1):
        precision.update(vars(detect(model, image)), vars(objects))
        yield Judged(min(done * processes.count, len(scenes)), len(scenes))
    return precision.compute()
