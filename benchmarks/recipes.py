"""The page docs/recipes.md: what each family needs in memory, and how many frames fit common graphics cards.

Run: python -m benchmarks.recipes > docs/recipes.md
Weights are counted on models without memory, made from shapes that were published; the rest is `MemoryPlanner`'s.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import transformers

from vreason_agent.model.families import registered_families
from vreason_agent.model.memory_plan import MemoryPlanner, PictureSize

CARDS_GB = (8, 16, 24, 80)
LADDER = (2, 4, 8, 16, 32, 64, 128, 256, 512)
HEIGHT_PX, WIDTH_PX = 720, 1280
HEAD = f"""# Recipes

The memory that published models need, and the largest number of frames of a {WIDTH_PX} x {HEIGHT_PX} px video, with
their size after the resize, that fits graphics cards of {", ".join(map(str, CARDS_GB))} GB in bfloat16 beside 1,024
tokens of answer. **Never run by us on published weights**: weights are counted from the published shapes, and the rest
is the planner's estimate (`--max-memory`), which was measured on the CPU only. Numbers of frames are powers of two up
to {LADDER[-1]}, within the model's context.

```text
vreason-agent doctor --model M --check
vreason-agent ask VIDEO QUESTION --model M --max-frames N --max-memory 16GB
```

| model | family | weights | {" | ".join(f"{card} GB" for card in CARDS_GB)} |
|---|---|---|{"---|" * len(CARDS_GB)}"""
TAIL = """
Where nothing fits: the CPU (`--device cpu`), or a folder with quantized weights ([models.md](models.md)). Made by
`python -m benchmarks.recipes > docs/recipes.md`, where the shapes stand; those of Qwen3.5 are transformers' defaults,
which name the 9B model."""


class Shape(NamedTuple):
    """A published model: its hub id, family, context in tokens, and what its configs say of text and vision."""

    hub_id: str
    family: str
    context: int
    text: dict[str, Any]
    vision: dict[str, Any]
    more: dict[str, Any] = {}  # noqa: RUF012


def text(hidden: int, layers: int, heads: int, kv_heads: int, inner: int, vocab: int, **more: Any) -> dict[str, Any]:
    """Sizes of a text decoder under transformers' names."""
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**sizes, "num_key_value_heads": kv_heads, "intermediate_size": inner, "vocab_size": vocab, **more}


def siglip(hidden: int, layers: int, heads: int, inner: int, side: Any, patch: Any) -> dict[str, Any]:
    """Sizes of a vision tower that takes frames of one size."""
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**sizes, "intermediate_size": inner, "image_size": side, "patch_size": patch}


def qwen3_tower(depth: int, hidden: int, inner: int, out: int, deepstack: list[int]) -> dict[str, Any]:
    """Sizes of Qwen3-VL's vision tower."""
    sizes = {"depth": depth, "hidden_size": hidden, "intermediate_size": inner, "out_hidden_size": out}
    return {**sizes, "deepstack_visual_indexes": deepstack}


TIED, UNTIED = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}
SO400M = siglip(1152, 26, 16, 4304, 384, 14)
INTERN = siglip(1024, 24, 16, 4096, [448, 448], [14, 14])
QWEN25_TOWER = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
SHAPES = (
    Shape("Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl", 32768, text(1536, 28, 12, 2, 8960, 151936, **TIED),
          {"depth": 32, "embed_dim": 1280, "hidden_size": 1536}, TIED),
    Shape("Qwen/Qwen2.5-VL-3B-Instruct", "qwen2_5_vl", 128000, text(2048, 36, 16, 2, 11008, 151936, **TIED),
          {**QWEN25_TOWER, "out_hidden_size": 2048}, TIED),
    Shape("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", 128000, text(3584, 28, 28, 4, 18944, 152064),
          {**QWEN25_TOWER, "out_hidden_size": 3584}),
    Shape("Qwen/Qwen3-VL-2B-Instruct", "qwen3_vl", 262144, text(2048, 28, 16, 8, 6144, 151936, head_dim=128, **TIED),
          qwen3_tower(24, 1024, 4096, 2048, [5, 11, 17]), TIED),
    Shape("Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl", 262144, text(2560, 36, 32, 8, 9728, 151936, head_dim=128, **TIED),
          qwen3_tower(24, 1024, 4096, 2560, [5, 11, 17]), TIED),
    Shape("Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl", 262144, text(4096, 36, 32, 8, 12288, 151936, head_dim=128),
          qwen3_tower(27, 1152, 4304, 4096, [8, 16, 24])),
    Shape("Qwen/Qwen3.5-9B", "qwen3_5", 262144, {}, {"out_hidden_size": 4096}),
    Shape("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "smolvlm", 8192,
          text(576, 30, 9, 3, 1536, 49280, model_type="llama"), siglip(768, 12, 12, 3072, 512, 16),
          {"scale_factor": 4}),
    Shape("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "smolvlm", 8192,
          text(2048, 24, 32, 32, 8192, 49280, model_type="llama"), siglip(1152, 27, 16, 4304, 384, 14),
          {"scale_factor": 3}),
    Shape("OpenGVLab/InternVL3-1B-hf", "internvl", 32768, text(896, 24, 14, 2, 4864, 151674, model_type="qwen2"),
          INTERN, UNTIED),
    Shape("OpenGVLab/InternVL3-8B-hf", "internvl", 32768, text(3584, 28, 28, 4, 18944, 151674, model_type="qwen2"),
          INTERN, UNTIED),
    Shape("llava-hf/llava-onevision-qwen2-0.5b-ov-hf", "llava_onevision", 32768,
          text(896, 24, 14, 2, 4864, 152000, model_type="qwen2", **TIED),
          {**SO400M, "model_type": "siglip_vision_model", "vision_use_head": False}, TIED),
    Shape("llava-hf/llava-onevision-qwen2-7b-ov-hf", "llava_onevision", 32768,
          text(3584, 28, 28, 4, 18944, 152128, model_type="qwen2"),
          {**SO400M, "model_type": "siglip_vision_model", "vision_use_head": False}),
    Shape("a Gemma 4 of transformers' default shape", "gemma4", 131072, {}, {}, {"audio_config": None}),
)  # fmt: skip


def main() -> None:
    print(HEAD)
    for shape in SHAPES:
        planner = planner_of_shape(shape)
        cells = [cell(planner, shape, card * 10**9) for card in CARDS_GB]
        name = f"`{shape.hub_id}`" if "/" in shape.hub_id else shape.hub_id
        print(f"| {name} | `{shape.family}` | {planner.weights / 1e9:.1f} GB | {' | '.join(cells)} |")
    print(TAIL)


def planner_of_shape(shape: Shape) -> MemoryPlanner:
    """Return the planner of a model of this shape in bfloat16 on a graphics card."""
    family = registered_families()[shape.family]
    model_class = getattr(transformers, family.architecture)
    parts = {"text_config": shape.text, "vision_config": shape.vision}
    config = model_class.config_class(**parts, **shape.more)
    with torch.device("meta"):
        hf_model = model_class._from_config(config)
    if config.tie_word_embeddings:
        hf_model.tie_weights()
    num_parameters = sum(weight.numel() for weight in hf_model.parameters())
    settings = family.vision_settings(config, PROCESSORS.get(shape.family, {}))
    return MemoryPlanner(
        config, family, settings, family.video_budget(settings, PROCESSORS.get(shape.family, {})), num_parameters,
        2 * num_parameters, torch.bfloat16, torch.device("cuda"),
    )  # fmt: skip


PROCESSORS: dict[str, dict[str, Any]] = {
    "smolvlm": {"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}},
    "llava_onevision": {"size": {"height": 384, "width": 384}},
    "internvl": {"size": {"height": 448, "width": 448}},
}
"""What the preprocessor files say of sizes, where the family reads them from there."""


def cell(planner: MemoryPlanner, shape: Shape, limit: int) -> str:
    """Return the largest number of frames that fits, and their size."""
    best = "no"
    for num_frames in LADDER:
        fit = planner.family.fit(num_frames, HEIGHT_PX, WIDTH_PX, planner.settings, planner.budget)
        is_in_context = fit.num_tokens + 16 * num_frames + 1500 < shape.context
        if is_in_context and planner.plan([PictureSize(num_frames, HEIGHT_PX, WIDTH_PX)]).total <= limit:
            best = f"{num_frames} of {fit.width_px} x {fit.height_px}"
    return best


if __name__ == "__main__":
    main()
