"""Architecture of the bundled model: a small Qwen2.5-VL, and its folder in the published layout.

Knows no training and no world.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from vreason_agent.model.vision_settings import VisionSettings
from vreason_agent.tiny.tokenizer import save_tokenizer

WEIGHTS = Path(__file__).parent / "weights"
FAMILY = "qwen2_5_vl_timestamps"
SIDE_PX = 84
PATCH_PX = 14
MERGE = 2
TEMPORAL_PATCH = 2
TOKENS_PER_PAIR = (SIDE_PX // PATCH_PX // MERGE) ** 2


@dataclass(frozen=True)
class Size:
    """Dimensions of the model; every head is 32 wide, larger values cost time and bytes in proportion."""

    hidden: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 2
    intermediate: int = 640
    vision_hidden: int = 128
    vision_layers: int = 3
    vision_heads: int = 4
    vision_intermediate: int = 256


TINY = Size()
MICRO = Size(32, 1, 1, 1, 32, 32, 1, 1, 32)  # for tests of the training loop


def make_config(tokenizer: PreTrainedTokenizerFast, size: Size = TINY) -> Qwen2_5_VLConfig:
    """The transformers config of the model for this tokenizer."""
    ids: Any = tokenizer.convert_tokens_to_ids
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "initializer_range": 0.03,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e5, "mrope_section": [4, 6, 6]},
        "bos_token_id": ids("<|endoftext|>"),
        "eos_token_id": ids("<|im_end|>"),
        "pad_token_id": ids("<|endoftext|>"),
    }
    vision: dict[str, Any] = {
        "depth": size.vision_layers,
        "hidden_size": size.vision_hidden,
        "intermediate_size": size.vision_intermediate,
        "num_heads": size.vision_heads,
        "patch_size": PATCH_PX,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": TEMPORAL_PATCH,
        "tokens_per_second": 8,
        "window_size": 4 * PATCH_PX * MERGE,
        "out_hidden_size": size.hidden,
        "fullatt_block_indexes": list(range(size.vision_layers)),
        "initializer_range": 0.03,
    }
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )
    config.vreason_family = FAMILY
    return config


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer stored in a folder."""
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer


def build_model(
    tokenizer: PreTrainedTokenizerFast, size: Size = TINY, *, seed: int = 0
) -> Qwen2_5_VLForConditionalGeneration:
    """A model with fresh float32 weights."""
    torch.manual_seed(seed)
    model: Any = Qwen2_5_VLForConditionalGeneration(make_config(tokenizer, size))
    fresh: Qwen2_5_VLForConditionalGeneration = model.float()
    return fresh


def save_folder(model: Qwen2_5_VLForConditionalGeneration, folder: Path) -> None:
    """Write model (bfloat16), tokenizer and preprocessor in the published layout, replacing what is there."""
    fresh = folder.with_name(folder.name + f".new{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    config: Any = model.config
    state = {k: v.detach().to(torch.bfloat16) for k, v in model.state_dict().items()}
    copy: Any = Qwen2_5_VLForConditionalGeneration(config)
    copy.to(torch.bfloat16).load_state_dict(state)
    copy.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=640,
        bos_token_id=config.text_config.bos_token_id,
        eos_token_id=config.text_config.eos_token_id,
        pad_token_id=config.text_config.pad_token_id,
    )
    copy.save_pretrained(fresh)
    save_tokenizer(fresh)
    (fresh / "preprocessor_config.json").write_text(
        json.dumps(preprocessor_config(), indent=2) + "\n", encoding="utf-8"
    )
    for file in fresh.iterdir():  # file by file, so that the folder never vanishes under a reader
        folder.mkdir(exist_ok=True)
        os.replace(file, folder / file.name)
    fresh.rmdir()


def preprocessor_config() -> dict[str, Any]:
    """What preprocessor_config.json holds."""
    settings = VisionSettings()
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "min_pixels": 56 * 56,
        "max_pixels": 7200,
        "patch_size": PATCH_PX,
        "merge_size": MERGE,
        "temporal_patch_size": TEMPORAL_PATCH,
        "image_mean": list(settings.image_mean),
        "image_std": list(settings.image_std),
        "rescale_factor": 1 / 255,
        "resample": 3,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
    }
