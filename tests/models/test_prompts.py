"""Texts as classes, against what the models of transformers make of picture and text themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.tiny import noise
from vitreous import ExplainError, explain, load
from vitreous.errors import ModelError

PROMPTS = ("a cat", "a dog on grass", "nothing")
LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module", params=["CLIP", "Siglip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    words = ["<pad>", "<end>", "a", "cat", "dog", "on", "grass", "nothing"]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>"
    ).save_pretrained(folder)
    text = getattr(transformers, f"{kind}TextConfig")(
        **LAYERS, vocab_size=8, max_position_embeddings=6, eos_token_id=1, bos_token_id=1, pad_token_id=0
    )
    vision = getattr(transformers, f"{kind}VisionConfig")(**LAYERS, image_size=32, patch_size=8)
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(text_config=text.to_dict(), vision_config=vision.to_dict())
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


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
