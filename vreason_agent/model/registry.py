"""`load_model`: each model once per process, shared by everyone who asks for it in the same way."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import torch

from vreason_agent.errors import ConfigError, quote
from vreason_agent.model.engine import VideoLanguageModel
from vreason_agent.model.families import registered_families
from vreason_agent.model.folder import open_folder
from vreason_agent.model.loading import ATTENTION_IMPLEMENTATIONS, build_model
from vreason_agent.model.placement import choose_device, choose_dtype
from vreason_agent.model.prompts import AnswerParser, QuestionPrompt
from vreason_agent.model.source import BUNDLED_NAME, bundled_folder, default_model, locate_model
from vreason_agent.model.threads import call_after_fork
from vreason_agent.model.vision_settings import PixelBudget

__all__ = ["add_model", "load_model", "loaded_models", "unload"]

_models: dict[tuple[Any, ...], VideoLanguageModel] = {}
_added: dict[str, VideoLanguageModel] = {}
_sizes: dict[Path, int] = {}
"""Numbers of parameters, read once per folder, so that a model asked for again is found without reading its files."""
_lock = threading.Lock()


def load_model(
    model: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    revision: str | None = None,
    attn_implementation: str | None = None,
    device_map: str | dict[str, Any] | None = None,
    quantization: str | None = None,
    pixel_budget: PixelBudget | None = None,
    question_prompt: QuestionPrompt | None = None,
    answer_parser: AnswerParser | None = None,
    enable_thinking: bool | None = None,
) -> VideoLanguageModel:
    """Load a video-language model, or return the one loaded before.

    It is the same model whichever way its folder, its device or its precision were written, under the name it was first
    asked for by; a family registered anew has it loaded again.

    Args:
        model: `tiny` (bundled), a folder in the Hugging Face layout, or a hub id; `None` takes `$VREASON_MODEL`, else
            the bundled one.
        device: `cpu`, `cuda`, `cuda:1`, `mps`; `None` or `auto` takes CUDA, then MPS, then CPU.
        dtype: `float32`, `bfloat16`, `float16`; `None` or `auto` takes bfloat16 on CUDA, and elsewhere float32 up to a
            billion parameters, bfloat16 above.
        revision: branch, tag or commit of a hub repository.
        attn_implementation: `sdpa` (also `None`) or `eager`.
        device_map: not supported; must be `None`.
        quantization: not supported; must be `None`. A folder of quantized weights needs no argument.
        pixel_budget: pixels that the frames of a video may have; `None` takes the family's.
        question_prompt: makes the user's text of question and options; `None` takes the family's.
        answer_parser: reads the answer out of generated text; `None` takes `prompts.parse_answer`.
        enable_thinking: passed to chat templates that know it (Qwen3.5, Gemma 4); `None` leaves it to them.

    Raises:
        ModelLoadError: the model cannot be found, is incomplete, takes no video, or needs more memory than is free.
        DependencyError: a library is missing or too old.
        ConfigError: an argument is not allowed.
    """
    _refuse(device_map, quantization)
    name = default_model() if model is None else str(model)
    with _lock:
        if name in _added:
            return _added[name]
    place = choose_device(device)
    folder = locate_model(None if model is None else name, revision=revision)
    real = folder.resolve()
    settings: dict[str, Any] = {
        "revision": revision,
        "dtype": choose_dtype(dtype, place, _num_parameters(real, name)),
        "attn_implementation": attn_implementation or ATTENTION_IMPLEMENTATIONS[0],
        "pixel_budget": pixel_budget,
        "question_prompt": question_prompt,
        "answer_parser": answer_parser,
        "enable_thinking": enable_thinking,
    }
    key = (real, _exact(place), *settings.values())
    with _lock:
        if key not in _models or not _is_registered(_models[key]):
            name = BUNDLED_NAME if real == bundled_folder().resolve() else name
            _models[key] = build_model(folder, name=name, device=place, **settings)
            call_after_fork(_renew_locks)
        return _models[key]


def add_model(model: VideoLanguageModel) -> None:
    """Make `load_model` return this model for its name, whatever else is asked for; `unload` forgets it."""
    with _lock:
        _added[model.name] = model
        call_after_fork(_renew_locks)


def loaded_models() -> tuple[VideoLanguageModel, ...]:
    """The models this process holds."""
    with _lock:
        return (*_models.values(), *_added.values())


def unload(model: VideoLanguageModel | None = None) -> int:
    """Forget one model, or all of them, so that its memory is freed once no one else holds it.

    Returns:
        How many were forgotten.
    """
    with _lock:
        num_before = len(_models) + len(_added)
        stores: tuple[dict[Any, VideoLanguageModel], ...] = (_models, _added)
        for known in stores:
            for key in [key for key, loaded in known.items() if model is None or loaded is model]:
                del known[key]
        _sizes.clear()
        num_gone = num_before - len(_models) - len(_added)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return num_gone


def _renew_locks() -> None:
    """Free what another thread of the parent process held at the moment of a fork: here nobody would."""
    global _lock
    _lock = threading.Lock()
    for model in (*_models.values(), *_added.values()):
        model.lock = threading.Lock()


def _num_parameters(folder: Path, name: str) -> int:
    if folder not in _sizes:
        _sizes[folder] = open_folder(folder, source=name).num_parameters
    return _sizes[folder]


def _exact(device: torch.device) -> torch.device:
    """Return the device with its index: `cuda` is the current card."""
    if device != torch.device(device.type):
        return device
    return torch.device(device.type, torch.cuda.current_device() if device.type == "cuda" else 0)


def _is_registered(model: VideoLanguageModel) -> bool:
    return registered_families().get(model.family.name) is model.family


def _refuse(device_map: object, quantization: object) -> None:
    """Reject what steering was never run with, rather than steer wrongly."""
    if device_map is not None:
        raise ConfigError(
            f"device_map={quote(device_map)} is not supported: steering needs the whole model on one device. "
            "Leave it out "
            "and pass device='cuda:0' or the like; choose a smaller model if it does not fit"
        )
    if quantization is not None:
        raise ConfigError(
            f"quantization={quote(quantization)} is not supported: weights are not quantized while they are loaded. "
            "Leave it out and pass a folder whose weights are quantized, or pass dtype='bfloat16'"
        )
