"""Folders of small random models of the families beyond Qwen2-VL to Qwen3-VL, as `save_pretrained` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken

from tests.model.published import CHAT_TEMPLATE, NUM_BYTES, make_tokenizer, write_json

QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
SPECIAL = {
    "qwen3_5": QWEN_TOKENS,
    "qwen3_5_moe": QWEN_TOKENS,
    "qwen3_vl_moe": QWEN_TOKENS,
    "smolvlm": ("<fake_token_around_image>", "<global-img>", "<image>", "<end_of_utterance>"),
    "internvl": ("<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
    "llava_onevision": ("<image>", "<video>"),
    "gemma4": ("<|image>", "<image|>", "<|image|>", "<|video|>", "<|audio|>", "<|audio>", "<audio|>"),
}
NAMES = (*SPECIAL, "gemma4 own values", "internvl qwen3")
"""Every kind of folder; `gemma4` shares values between layers, the other one has `attention_k_eq_v`."""

PLAIN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for content in message['content'] %}{% if content['type'] == 'text' %}"
    "{{ content['text'] }}{% else %}{{ PLACES[content['type']] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING_TEMPLATE = CHAT_TEMPLATE.replace(
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}{% endif %}",
)
PLACES = {
    "internvl": {"video": "<video>\n", "image": "<IMG_CONTEXT>\n"},
    "llava_onevision": {"video": "<video>", "image": "<image>"},
    "gemma4": {"video": "<|video|>", "image": "<|image|>"},
    "smolvlm": {"video": "nothing", "image": "nothing"},
}
BASE_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def ids_of(family: str) -> dict[str, int]:
    return {token: NUM_BYTES + index for index, token in enumerate((*BASE_TOKENS, *SPECIAL[family]))}


def write_family(folder: Path, name: str = "qwen3_5", *, seed: int = 0) -> Path:
    """Write a complete folder of one of `NAMES` with a model of three or four layers."""
    family = name.split()[0]
    folder.mkdir(parents=True, exist_ok=True)
    ids = ids_of(family)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hf_model = make_model(name, ids)
    hf_model.save_pretrained(folder)
    tokenizer = make_tokenizer(())
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ids])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    write_json(folder / "tokenizer_config.json", {**settings, "clean_up_tokenization_spaces": False})
    (folder / "chat_template.jinja").write_text(template_of(family))
    write_json(folder / "preprocessor_config.json", preprocessor_of(family))
    return folder


def template_of(family: str) -> str:
    if family.startswith("qwen"):
        return THINKING_TEMPLATE if "3_5" in family else CHAT_TEMPLATE
    return f"{{% set PLACES = {PLACES[family]!r} %}}{PLAIN_TEMPLATE}"


def preprocessor_of(family: str) -> dict[str, Any]:
    """Small frames: 4 to 8 tokens for the Qwen families, few for the others."""
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    if family.startswith("qwen"):
        return {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, **half,
                "size": {"shortest_edge": 4096, "longest_edge": 8192}}  # fmt: skip
    if family == "smolvlm":
        return {"size": {"longest_edge": 96}, "max_image_size": {"longest_edge": 32}, "resample": 1, **half}
    if family == "gemma4":
        return {"patch_size": 4, "max_soft_tokens": 70, "pooling_kernel_size": 3, "do_normalize": False}
    side = 16 if family == "internvl" else 20
    return {"size": {"height": side, "width": side}, "image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28]}


def make_model(name: str, ids: dict[str, int]) -> Any:
    """A random model whose entropies vary: large weights in the decoder, larger ones in the head."""
    family = name.split()[0]
    model_class = getattr(transformers, registered(family))
    config = model_class.config_class(**config_of(name, ids))
    hf_model = model_class._from_config(config)
    with torch.no_grad():
        for key, weight in hf_model.named_parameters():
            if weight.ndim >= 2 and ("language_model" in key or "text_model" in key):
                weight.mul_(4.0)
        hf_model.lm_head.weight.mul_(12.0)
        for token in ("<|im_end|>", "<|endoftext|>"):
            hf_model.lm_head.weight[ids[token]] = 0
    return hf_model.eval()


def registered(family: str) -> str:
    from vreason_agent.model import registered_families

    return registered_families()[family].architecture


def config_of(name: str, ids: dict[str, int]) -> dict[str, Any]:
    family = name.split()[0]
    text: dict[str, Any] = {
        "vocab_size": NUM_BYTES + len(ids),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "pad_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "bos_token_id": None,
        "tie_word_embeddings": False,
    }
    if family.startswith("qwen"):
        return _qwen(family, text, ids)
    return {"smolvlm": _smolvlm, "internvl": _internvl, "llava_onevision": _llava, "gemma4": _gemma4}[family](
        name, text, ids
    )


def _qwen(family: str, text: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    text |= {"head_dim": 8, "rope_parameters": rope}
    if "3_5" in family:
        text |= {"num_hidden_layers": 4, "layer_types": ["linear_attention"] * 3 + ["full_attention"]}
        text |= {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
        text |= {"linear_num_value_heads": 4, "rope_parameters": {**rope, "partial_rotary_factor": 1.0}}
    if "moe" in family:
        text |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
        text |= {"shared_expert_intermediate_size": 16} if "3_5" in family else {"decoder_sparse_step": 1}
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 16,
        "out_hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 24,
    }
    vision |= {"patch_size": 16, "num_position_embeddings": 16}
    vision |= {} if "3_5" in family else {"deepstack_visual_indexes": [0]}
    names = ("vision_start", "vision_end", "image", "video")
    special = {f"{key}_token_id": ids[token] for key, token in zip(names, QWEN_TOKENS, strict=True)}
    return {"text_config": text, "vision_config": vision, "tie_word_embeddings": False, **special}


SIGLIP: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def _smolvlm(name: str, text: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    vision = {**SIGLIP, "image_size": 32, "patch_size": 4}
    config = {"text_config": {"model_type": "llama", **text}, "vision_config": vision, "scale_factor": 4}
    return {**config, "image_token_id": ids["<image>"], "tie_word_embeddings": False}


def _internvl(name: str, text: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    vision: dict[str, Any] = {**SIGLIP, "image_size": [16, 16], "patch_size": [4, 4]}
    kind = {"model_type": "qwen3", "head_dim": 8} if name.endswith("qwen3") else {"model_type": "qwen2"}
    config = {"text_config": {**text, **kind}, "vision_config": vision, "image_seq_length": 4}
    return {**config, "image_token_id": ids["<IMG_CONTEXT>"], "tie_word_embeddings": False}


def _llava(name: str, text: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    vision = {
        "model_type": "siglip_vision_model",
        **SIGLIP,
        "image_size": 20,
        "patch_size": 4,
        "vision_use_head": False,
    }
    config = {"text_config": {"model_type": "qwen2", **text}, "vision_config": vision, "vision_feature_layer": -1}
    config |= {"vision_feature_select_strategy": "full", "image_grid_pinpoints": [[20, 20]]}
    return {**config, "image_token_id": ids["<image>"], "video_token_id": ids["<video>"], "tie_word_embeddings": False}


def _gemma4(name: str, text: dict[str, Any], ids: dict[str, int]) -> dict[str, Any]:
    text |= {"num_hidden_layers": 4, "head_dim": 8, "global_head_dim": 16, "sliding_window": 16}
    text |= {"layer_types": ["sliding_attention", "full_attention"] * 2, "final_logit_softcapping": 30.0}
    if name.endswith("own values"):
        text |= {"attention_k_eq_v": True, "num_kv_shared_layers": 0, "num_global_key_value_heads": 1}
        text |= {"hidden_size_per_layer_input": 0, "use_bidirectional_attention": "vision"}
    else:
        text |= {"num_kv_shared_layers": 2, "hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 263 + 3}
        text["vocab_size_per_layer_input"] = text["vocab_size"]
    vision = {**SIGLIP, "num_key_value_heads": 2, "head_dim": 8, "patch_size": 4, "pooling_kernel_size": 3}
    vision |= {"position_embedding_size": 256}
    names = {"boi": "<|image>", "eoi": "<image|>", "image": "<|image|>", "video": "<|video|>", "audio": "<|audio|>"}
    special = {f"{key}_token_id": ids[token] for key, token in names.items()}
    special |= {"boa_token_id": ids["<|audio>"], "eoa_token_index": ids["<audio|>"]}
    return {"text_config": text, "vision_config": vision, "audio_config": None, "tie_word_embeddings": False, **special}
