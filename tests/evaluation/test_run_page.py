"""The page of a run: its log, its classes, its mistakes; one file, names escaped."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import CLASSES, noise, save_model
from vitreous.data.archives import ArraySplit
from vitreous.errors import DataError
from vitreous.evaluation.evaluate import answers
from vitreous.evaluation.run_page import write_run_page
from vitreous.models.card import ModelCard, read_weights
from vitreous.models.zoo import load

PIXELS = np.stack([np.asarray(noise(seed)) for seed in range(12)])


def a_run(folder: Path, names: tuple[str, ...] = CLASSES, **arguments: object) -> Path:
    """What a training of two epochs leaves."""
    save_model(folder, **arguments)
    values = json.loads((folder / "model.json").read_text()) | {"class_names": names}
    (folder / "model.json").write_text(json.dumps(values))
    (folder / "log.csv").write_text("epoch,loss,lr,top1,seconds,best\n1,2.5,0.1,0.25,9,True\n2,1.5,0.01,0.5,9,True\n")
    (folder / "summary.json").write_text(json.dumps({"top1": 0.5, "best_epoch": 2, "seed": 3}))
    return folder


def labelled(folder: Path, *, right: int) -> ArraySplit:
    """Twelve pictures of which the model gets that many right."""
    names = ModelCard.read(folder).class_names
    predicted = answers(load(folder), ArraySplit(PIXELS, np.zeros(12, int), names)).logits.argmax(1).numpy()
    wrong = (predicted + 1) % len(names)
    return ArraySplit(PIXELS, np.where(np.arange(12) < right, predicted, wrong), names)


def test_curves_classes_and_mistakes(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", ("<b>hen</b>", "dog", "cat", "7"))
    text = write_run_page(folder, labelled(folder, right=9)).read_text(encoding="utf-8")
    assert "training loss: 1.5 to 2.5, at the end 1.5" in text
    assert "top-1, validation: 0.25 to 0.5, at the end 0.5" in text
    assert "<b>hen" not in text
    assert "&lt;b&gt;hen" in text
    assert "3 of 12 pictures are wrong" in text
    assert len(re.findall("predicted .* is .* AG-CAM", text)) == 1
    assert text.count("<img") == 3 * 3  # each mistake: the picture and two maps
    assert "://" not in text


def test_key_numbers_come_first_and_long_tables_are_folded(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "few")
    text = write_run_page(folder, labelled(folder, right=9)).read_text(encoding="utf-8")
    assert text.index(">top1</th>") < text.index("<summary>Settings and versions") < text.index(">seed</th>")
    assert text.count("<details open>") == 2, "four classes fit"
    assert text.count("<details>") == 1
    many = a_run(tmp_path / "many")
    card = replace(ModelCard.read(many), class_names=tuple(f"class {at}" for at in range(12)))
    card.save(many, card.build().state_dict())
    text = write_run_page(many, labelled(many, right=9)).read_text(encoding="utf-8")
    assert (text.count("<details>"), text.count("<details open>")) == (3, 0)


def test_what_a_run_began_with_is_told(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    card, weights = ModelCard.read(folder), read_weights(folder)
    replace(card, notes={"start": "default", "teacher": "vit.safetensors"}).save(folder, weights)
    text = write_run_page(folder, labelled(folder, right=12)).read_text(encoding="utf-8")
    assert re.search(r">start</th>\s*<td>default</td>.*>teacher</th>\s*<td>vit\.safetensors</td>", text, re.DOTALL)


def test_the_worst_mistake_comes_first(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    pictures = labelled(folder, right=0)
    given = answers(load(folder), pictures)
    own = given.logits.softmax(1).gather(1, given.labels[:, None])[:, 0]
    shown = re.findall(r"picture (\d+): predicted", write_run_page(folder, pictures).read_text(encoding="utf-8"))
    assert [int(at) for at in shown] == own.argsort()[:8].tolist()


def test_the_table_of_classes_is_the_confusion(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    pictures = labelled(folder, right=5)
    given = answers(load(folder), pictures)
    text = write_run_page(folder, pictures).read_text(encoding="utf-8")
    for label, name in enumerate(CLASSES):
        its = given.labels == label
        counts = [int((given.logits[its].argmax(1) == said).sum()) for said in range(4)]
        share = f"{counts[label] / int(its.sum()):.1%}" if its.any() else "–"
        for row in ((str(int(its.sum())), share), counts):
            cells = "".join(f"<td[^>]*>{re.escape(str(each))}</td>" for each in row)
            assert re.search(f"<td>{name}</td>{cells}</tr>", text), name
    matrix = torch.zeros(4, 4).index_put((given.labels, given.logits.argmax(1)), torch.ones(12), accumulate=True)
    seen = [at for at in range(4) if matrix[at].sum()]
    right = {at: (matrix[at, at] / matrix[at].sum()).item() for at in seen}
    said = re.search(
        r"<p>Best recognized: (.*), ([\d.]+)% of its pictures right\. Worst recognized: (.*), ([\d.]+)% right", text
    )
    assert said
    assert float(said[2]) == pytest.approx(100 * max(right.values()), abs=0.05)
    assert right[CLASSES.index(html.unescape(said[3]))] == min(right.values())


def test_a_model_without_mistakes_or_without_a_class_token(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run", class_token=False, global_pool="avg")
    assert "every validation picture is right" in write_run_page(folder, labelled(folder, right=12)).read_text()
    text = write_run_page(folder, labelled(folder, right=11)).read_text(encoding="utf-8")
    assert "Grad-CAM" in text
    assert text.count("<img") == 3


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "run")
    (folder / "log.csv").unlink()
    with pytest.raises(DataError, match="has no log with loss, top1, lr"):
        write_run_page(folder, ArraySplit(PIXELS, np.zeros(12, int), CLASSES))
