"""Tiny random models of the architectures that hubs give by name, in the files that their libraries write."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from timm import create_model
from tokenizers import Tokenizer, models, pre_tokenizers

__all__ = ["save_clip", "save_hf_vit", "save_timm"]

LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = ["<pad>", "<end>", "a", "cat", "dog", "on", "grass", "nothing"]


def save_clip(folder: Path, kind: str = "CLIP") -> Path:
    """A CLIP or Siglip of transformers that knows six words."""
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="<pad>"))
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


def save_hf_vit(folder: Path) -> Path:
    """A ViT of transformers with two classes."""
    torch.manual_seed(0)
    names = {0: "cat", 1: "dog"}
    config = transformers.ViTConfig(**LAYERS, image_size=32, patch_size=8, id2label=names)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_timm(file: Path, name: str = "vit_base_patch16_224") -> Path:
    """Weights of a timm ViT with two classes, of one block."""
    torch.manual_seed(0)
    model = create_model(name, depth=1, img_size=32, num_classes=2)
    save_file(model.state_dict(), file)
    return file
