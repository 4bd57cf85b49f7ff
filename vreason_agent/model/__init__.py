"""Video-language models: loading weights, model families, frames to tokens, requests to generations.

The names below load on first use, so that `vreason_agent.model.preprocess` can be had without the decoding library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "PixelBudget": "preprocess",
    "VisionInput": "preprocess",
    "VisionSettings": "preprocess",
    "preprocess_frames": "preprocess",
}
__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from vreason_agent.model.preprocess import PixelBudget, VisionInput, VisionSettings, preprocess_frames
else:

    def __getattr__(name: str) -> Any:
        """Import the module that defines a public name when the name is first asked for."""
        if name not in _PUBLIC:
            msg = f"module 'vreason_agent.model' has no attribute {name!r}; it has: {', '.join(__all__)}"
            raise AttributeError(msg)
        from importlib import import_module

        value = getattr(import_module(f"vreason_agent.model.{_PUBLIC[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
