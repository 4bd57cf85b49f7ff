"""What a loaded model is, as plain data: for `vreason-agent doctor`, `ask --json`, reports and bug tickets.

This module does not know how the data is shown.
"""

from __future__ import annotations

from typing import Any

from vreason_agent.model.encoding import VisionSpec
from vreason_agent.model.engine import VideoLanguageModel
from vreason_agent.model.source import BUNDLED_NAME

__all__ = ["describe_model"]


def describe_model(model: VideoLanguageModel) -> dict[str, Any]:
    """Return a model's family, size, placement, limits and route for time; JSON-plain.

    Returns:
        `name`, `bundled` (whether it is the toy model), `revision`, `family`, `architecture`, `time_route`,
        `num_parameters`, `num_layers`, `device`, `dtype`, `attention`, `context_tokens`, and under `video` and `image`
        what a frame may cost: `min_px` and `max_px` of one frame after the resize, `max_total_px` of all temporal pairs
        together (`None` for no limit), and the same in tokens of a temporal pair or an image.
    """
    text = model.hf_model.config.get_text_config()
    return {
        "name": model.name,
        "bundled": model.name == BUNDLED_NAME,
        "revision": model.revision,
        "family": model.family.name,
        "architecture": model.family.architecture,
        "time_route": model.family.time_route,
        "num_parameters": model.num_parameters,
        "num_layers": int(text.num_hidden_layers),
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": str(text._attn_implementation),
        "context_tokens": model.context_length,
        "video": _limits(model.encoder.video),
        "image": _limits(model.encoder.image),
    }


def _limits(spec: VisionSpec) -> dict[str, int | None]:
    budget, token_px = spec.budget, spec.settings.factor**2
    limits = {"min": budget.min_pixels, "max": budget.max_pixels, "max_total": budget.max_total_pixels}
    pixels = {f"{name}_px": value for name, value in limits.items()}
    return pixels | {f"{name}_tokens": None if px is None else px // token_px for name, px in limits.items()}
