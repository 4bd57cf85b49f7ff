"""Model folders in the published layout, with small random weights: what a download would look like.

Every file is written here rather than by `save_pretrained`, so that old and new names, shards and ties can be chosen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
NUM_BYTES = 256
VOCAB_SIZE = NUM_BYTES + len(SPECIAL_TOKENS)
IDS = {token: NUM_BYTES + index for index, token in enumerate(SPECIAL_TOKENS)}
SIDE_PX = {"qwen2_vl": 28, "qwen2_5_vl": 28, "qwen3_vl": 32}

# The template that Qwen2-VL and Qwen2.5-VL publish.
CHAT_TEMPLATE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n{% else %}"
    "{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Names = Literal["old", "new", "tokenizer", "processor"]


def make_tokenizer(special: Sequence[str] = SPECIAL_TOKENS) -> Tokenizer:
    """One token per byte and the Qwen special tokens: every other character than ASCII takes several tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: index for index, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def config_of(model_type: str, **changes: Any) -> dict[str, Any]:
    """`config.json` of a small model of one of the three published families."""
    text: dict[str, Any] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.4,
        "rms_norm_eps": 1e-6,
        "bos_token_id": IDS["<|endoftext|>"],
        "eos_token_id": IDS["<|im_end|>"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
    }
    vision: dict[str, Any] = {"depth": 2, "initializer_range": 0.2}
    if model_type == "qwen2_vl":
        vision |= {"embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 14}
    elif model_type == "qwen2_5_vl":
        vision |= {"hidden_size": 16, "out_hidden_size": 32, "num_heads": 2, "intermediate_size": 24, "patch_size": 14}
        vision |= {"window_size": 56, "fullatt_block_indexes": [1], "tokens_per_second": 2}
    else:
        vision |= {"hidden_size": 16, "out_hidden_size": 32, "num_heads": 2, "intermediate_size": 24, "patch_size": 16}
        vision |= {"num_position_embeddings": 16, "deepstack_visual_indexes": [0]}
        text |= {"head_dim": 8}
    names = ("image_pad", "video_pad", "vision_start", "vision_end")
    keys = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    config = {
        "model_type": model_type,
        "architectures": [ARCHITECTURES[model_type]],
        "text_config": text,
        "vision_config": vision,
        "tie_word_embeddings": True,
        **{key: IDS[f"<|{name}|>"] for key, name in zip(keys, names, strict=True)},
    }
    return {**config, **changes}


def flat_config_of(model_type: str, **changes: Any) -> dict[str, Any]:
    """`config.json` as Qwen2-VL and Qwen2.5-VL were released: no `text_config`, `rope_scaling`, `torch_dtype`.

    The model is that of `config_of(model_type)`, so that `random_weights` of that one fit.
    """
    nested = config_of(model_type)
    text, vision = nested.pop("text_config"), nested.pop("vision_config")
    rope = text.pop("rope_parameters")
    vision |= {"in_chans": 3, "spatial_patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}
    released = {
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
        "sliding_window": 32768,
        "use_sliding_window": False,
        "max_window_layers": 70,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.41.2",
        "use_cache": True,
        "vision_token_id": IDS["<|vision_pad|>"],
    }
    return {**nested, **text, **released, "vision_config": vision, **changes}


ARCHITECTURES = {
    "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
}


def preprocessor_of(model_type: str) -> dict[str, Any]:
    """`preprocessor_config.json`: 4 to 8 tokens per frame."""
    side = SIDE_PX[model_type]
    mean, std = ([0.5] * 3, [0.5] * 3) if model_type == "qwen3_vl" else ([0.48, 0.46, 0.41], [0.27, 0.26, 0.28])
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "size": {"shortest_edge": 4 * side**2, "longest_edge": 8 * side**2},
        "patch_size": side // 2,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": mean,
        "image_std": std,
    }


def write_folder(
    folder: Path,
    model_type: str = "qwen2_5_vl",
    *,
    template: Names | None = "tokenizer",
    preprocessor: Names | None = "old",
    num_shards: int = 1,
    config: dict[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Write a complete model folder.

    Args:
        folder: made if needed.
        model_type: one of the three published families.
        template: where the chat template goes: `chat_template.json` (old), `chat_template.jinja` (new), the tokenizer's
            config, `processor_config.json`, or nowhere.
        preprocessor: `preprocessor_config.json` (old), also `video_preprocessor_config.json` (new),
            `processor_config.json`, or nowhere.
        num_shards: 1 for a single `model.safetensors`, more for shards with an index.
        config: replaces `config_of(model_type)`; a flat one gets the weights of that.
        seed: of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = config or config_of(model_type)
    write_json(folder / "config.json", config)
    hub_generation = {
        "bos_token_id": IDS["<|endoftext|>"],
        "pad_token_id": IDS["<|endoftext|>"],
        "eos_token_id": [IDS["<|im_end|>"], IDS["<|endoftext|>"]],
        "do_sample": True,
        "temperature": 1e-6,
        "repetition_penalty": 1.5,
    }
    write_json(folder / "generation_config.json", hub_generation)
    _write_tokenizer(folder, in_config=template == "tokenizer")
    _write_template(folder, template)
    _write_preprocessor(folder, model_type, preprocessor)
    _write_weights(folder, config if "text_config" in config else config_of(model_type), num_shards, seed)
    return folder


def write_json(path: Path, data: dict[str, Any]) -> None:
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **data}, indent=2))


def _write_tokenizer(folder: Path, *, in_config: bool) -> None:
    make_tokenizer().save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", settings | ({"chat_template": CHAT_TEMPLATE} if in_config else {}))


def _write_template(folder: Path, template: Names | None) -> None:
    if template == "old":
        write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})
    elif template == "new":
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    elif template == "processor":
        write_json(folder / "processor_config.json", {"chat_template": CHAT_TEMPLATE})


def _write_preprocessor(folder: Path, model_type: str, preprocessor: Names | None) -> None:
    settings = preprocessor_of(model_type)
    if preprocessor == "processor":
        write_json(folder / "processor_config.json", {"image_processor": settings, "video_processor": settings})
    elif preprocessor is not None:
        write_json(folder / "preprocessor_config.json", settings)
    if preprocessor == "new":
        write_json(folder / "video_preprocessor_config.json", settings)


def _write_weights(folder: Path, config: dict[str, Any], num_shards: int, seed: int) -> None:
    state = random_weights(config, seed)
    if num_shards == 1:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map = {}
    names = sorted(state)
    for shard in range(num_shards):
        file = f"model-{shard + 1:05d}-of-{num_shards:05d}.safetensors"
        part = {name: state[name] for name in names[shard::num_shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": weight_map})


def random_weights(config: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Random weights under the published names; a tied head is not stored, as in published folders."""
    import transformers

    model_class = getattr(transformers, ARCHITECTURES[config["model_type"]])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hf_model = model_class(model_class.config_class(**{k: v for k, v in config.items() if k != "model_type"}))
    state = hf_model.state_dict()
    if config["tie_word_embeddings"]:
        state.pop("lm_head.weight", None)
    for token in ("<|im_end|>", "<|endoftext|>"):  # a tied row of zeros has logit 0: greedy answers go on
        state["model.language_model.embed_tokens.weight"][IDS[token]] = 0
    published = {_published_name(name, config["model_type"]): tensor.contiguous() for name, tensor in state.items()}
    return published


def _published_name(name: str, model_type: str) -> str:
    """Hub files of Qwen2-VL and Qwen2.5-VL have the names from before transformers moved the parts under `model.`."""
    if model_type == "qwen3_vl":
        return name
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
