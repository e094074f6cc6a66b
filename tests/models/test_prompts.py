"""Texts as classes, against what the models of transformers make of picture and text themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from tests.tiny import noise
from tests.tiny_hub import save_clip
from vitreous import ExplainError, explain, load
from vitreous.errors import ModelError

PROMPTS = ("a cat", "a dog on grass", "nothing")


@pytest.fixture(scope="module", params=["CLIP", "Siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp(request.param), request.param)


def test_logits_are_those_of_the_model_itself(folder: Path) -> None:
    loaded, images = load(f"hf:{folder}", prompts=PROMPTS), torch.randn(2, 3, 32, 32)
    whole = transformers.AutoModel.from_pretrained(folder).eval()
    padding = "max_length" if "Siglip" in type(whole).__name__ else True
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(
        list(PROMPTS), padding=padding, truncation=True, max_length=6, return_tensors="pt"
    )
    with torch.no_grad():
        expected = whole(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=images)
        torch.testing.assert_close(loaded.model(images), expected.logits_per_image, rtol=1e-5, atol=1e-5)
    assert loaded.class_names == PROMPTS


def test_a_prompt_is_a_target(folder: Path) -> None:
    loaded = load(folder, prompts=PROMPTS)
    method = "rollout" if "Siglip" in type(loaded.model.model).__name__ else "ag_cam"
    settings = {"readout": "mean"} if method == "rollout" else {}
    picture = noise(0, (40, 40))
    explanation = explain(loaded, picture, method, target="a dog on grass", **settings)
    assert explanation.target.tolist() == [1]
    assert explanation.heatmap.shape == (1, 4, 4)


@pytest.mark.parametrize("prompts", [("",), ("a cat", "  ")])
def test_empty_prompts_are_refused(folder: Path, prompts: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="is empty"):
        load(folder, prompts=prompts)


def test_models_without_texts_are_refused(hf_folder: Path) -> None:
    with pytest.raises(ModelError, match="Give a model of pictures and texts"):
        load(f"hf:{hf_folder}", prompts=PROMPTS)
    for spec in ("default", "timm:vit_tiny_patch16_224"):
        with pytest.raises(ExplainError, match="takes no prompts"):
            load(spec, prompts=PROMPTS)
