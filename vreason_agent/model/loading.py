"""A model folder to a `VideoLanguageModel`: weights from safetensors, tokenizer, template, placement.

No code from a model folder is ever run (`trust_remote_code=False`), and of its `generation_config.json` only the end
and padding tokens are used: published Qwen-VL folders carry temperature 1e-6 and a repetition penalty there.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from vreason_agent.answers import parse_answer
from vreason_agent.errors import ConfigError, DependencyError, ModelLoadError, quote
from vreason_agent.model.encoding import PromptEncoder, VisionSpec
from vreason_agent.model.engine import VideoLanguageModel
from vreason_agent.model.families import BUILTIN_FAMILIES
from vreason_agent.model.families.base import ModelFamily
from vreason_agent.model.folder import DEFAULT_TEMPLATE, ModelFolder, open_folder
from vreason_agent.model.model_files import AGAIN, check_readable, values_of
from vreason_agent.model.peft_adapter import merge_adapter
from vreason_agent.model.placement import (
    check_memory,
    choose_device,
    choose_dtype,
    memory_remedy,
    out_of_memory_as,
    weight_bytes,
)
from vreason_agent.model.prompts import AnswerParser, QuestionPrompt, plain_prompt, reasoning_prompt
from vreason_agent.model.vision_settings import PixelBudget

__all__ = ["ATTENTION_IMPLEMENTATIONS", "build_model"]

ATTENTION_IMPLEMENTATIONS = ("sdpa", "eager")
_TOKENIZER_FILES = (
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""What transformers and the libraries below it raise for files with the wrong contents."""


def build_model(
    path: Path,
    *,
    name: str,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    attn_implementation: str | None = None,
    pixel_budget: PixelBudget | None = None,
    question_prompt: QuestionPrompt | None = None,
    answer_parser: AnswerParser | None = None,
    enable_thinking: bool | None = None,
) -> VideoLanguageModel:
    """Load the model in a folder; see `load_model` for the arguments and errors."""
    if attn_implementation not in (None, *ATTENTION_IMPLEMENTATIONS):
        raise ConfigError(
            f"attn_implementation={quote(attn_implementation)} is not supported: left-padded batches and steering are "
            f"tested with {' and '.join(ATTENTION_IMPLEMENTATIONS)} only; pass one of them, or None for the default"
        )
    chosen = choose_device(device)
    folder = open_folder(path, source=name)
    family = folder.family
    precision = choose_dtype(dtype, chosen, folder.num_parameters)
    check_memory(folder, chosen, precision, source=name)
    # Everything small is read and checked before the weights are.
    model_class = _model_class(folder, family, name)
    config = _load_config(folder, model_class, name)
    tokenizer = _load_tokenizer(folder, name)
    stop, pad = _end_tokens(folder, config, tokenizer, name)
    context_length = _context_length(config, name)
    encoder = _encoder(folder, family, config, tokenizer, pixel_budget, enable_thinking, name)
    hf_model = _load_weights(folder, model_class, chosen, precision, attn_implementation or "sdpa", name)
    return VideoLanguageModel(
        name=name,
        revision=revision,
        family=family,
        hf_model=hf_model,
        tokenizer=tokenizer,
        encoder=encoder,
        device=chosen,
        dtype=precision,
        context_length=context_length,
        stop_token_ids=stop,
        pad_token_id=pad,
        question_prompt=question_prompt or (plain_prompt if family.prompt_style == "plain" else reasoning_prompt),
        answer_parser=answer_parser or parse_answer,
    )


def _model_class(folder: ModelFolder, family: ModelFamily, name: str) -> Any:
    model_class = getattr(transformers, family.architecture, None)
    if model_class is None:
        raise DependencyError(
            f"transformers {transformers.__version__} has no {family.architecture}, which model {quote(name)} needs. "
            "Run: pip install -U transformers"
        )
    wanted, found = model_class.config_class.model_type, folder.config.get("model_type")
    if found != wanted:
        raise ModelLoadError(
            f"config.json of model {quote(name)} says model_type {quote(found)}, and the family "
            f"{quote(family.name)} loads "
            f"{family.architecture}, which is a {quote(wanted)}. Give the family the architecture that config.json was "
            "written for, or take vreason_family out of config.json"
        )
    return model_class


def _load_config(folder: ModelFolder, model_class: Any, name: str) -> Any:
    try:
        return model_class.config_class.from_pretrained(str(folder.path), local_files_only=True)
    except _DAMAGE as exc:
        raise ModelLoadError(
            f"config.json of model {quote(name)} holds values that cannot be used ({_in_short(exc)}). {AGAIN}"
        ) from exc


def _load_tokenizer(folder: ModelFolder, name: str) -> Any:
    with _TokenizerDamage(folder, name):
        return transformers.AutoTokenizer.from_pretrained(
            str(folder.path), trust_remote_code=False, local_files_only=True
        )


class _TokenizerDamage:
    """Turns what a damaged tokenizer raises into a `ModelLoadError`.

    The tokenizers library raises bare `Exception` for a tokenizer.json that it cannot use. An `except` clause for that
    class would catch its subclasses too; here it alone is meant.
    """

    def __init__(self, folder: ModelFolder, name: str) -> None:
        self._folder, self._name = folder, name

    def __enter__(self) -> None:
        """Watch what follows."""

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: object) -> None:
        """Raise the error that names the damaged file, or else those that the tokenizer is made from."""
        if exc is None or (kind is not Exception and not isinstance(exc, _DAMAGE)):
            return
        check_readable(self._folder.path, _TOKENIZER_FILES)
        raise ModelLoadError(
            f"the tokenizer of model {quote(self._name)} cannot be made from tokenizer.json and tokenizer_config.json "
            f"({_in_short(exc)}). Download the folder again with both: hf download REPO --local-dir FOLDER"
        ) from exc


def _load_weights(
    folder: ModelFolder, model_class: Any, device: torch.device, dtype: torch.dtype, attention: str, name: str
) -> Any:
    # Quantized modules are made where they run: they cannot be moved.
    place = {} if folder.quantization is None else {"device_map": {"": str(device)}}
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of a cast at every call of every layer
    try:
        with _quiet_transformers(), _memory_told(folder, device, dtype, name):
            hf_model, report = model_class.from_pretrained(
                str(folder.path),
                dtype=dtype,
                attn_implementation=attention,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, by name; transformers would point to a report it logs
                **place,
            )
            hf_model = hf_model if place else hf_model.to(device)
    except _DAMAGE as exc:
        quantized = f", quantized by {folder.quantization}," if folder.quantization else ""
        other = "take the same model unquantized" if quantized else "download the folder again: hf download REPO"
        raise ModelLoadError(
            f"the weights of model {quote(name)}{quantized} cannot be loaded ({_in_short(exc)}). Check that "
            f"config.json and the weights belong together, or {other}{'' if quantized else ' --local-dir FOLDER'}"
        ) from exc
    _check_complete(report, name)
    if unused := sorted(report.get("unexpected_keys") or ()):
        warnings.warn(
            f"the weights of model {quote(name)} hold {len(unused)} tensors that {type(hf_model).__name__} does not "
            f"use, the first being {unused[0]}; they are left out. Check that config.json and the weights belong "
            "together",
            stacklevel=2,
        )
    for module in hf_model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):  # bitsandbytes, 4 bit: repacked weights pass no gradient
            module.support_avx512bf16_for_cpu = False
    if folder.adapter is not None:
        hf_model = merge_adapter(hf_model, folder.adapter, source=name)
    return hf_model.requires_grad_(False).eval()


def _memory_told(
    folder: ModelFolder, device: torch.device, dtype: torch.dtype, name: str
) -> AbstractContextManager[None]:
    num_bytes = weight_bytes(folder, device, dtype)
    what = f"model {quote(name)}, {num_bytes / 1e9:.3g} GB of weights as {str(dtype).removeprefix('torch.')}"
    return out_of_memory_as(ModelLoadError, what, device, remedy=memory_remedy(device, dtype))


def _check_complete(report: dict[str, Any], name: str) -> None:
    """Refuse what transformers would fill with random numbers."""
    missing = sorted(report.get("missing_keys") or ())
    other = [f"{key}, {tuple(found)} in place of {tuple(asked)}" for key, found, asked in _mismatched(report)]
    if wrong := missing + other:
        raise ModelLoadError(
            f"the weights of model {quote(name)} lack {len(wrong)} tensors that its config.json asks for, the first "
            f"being {wrong[0]}. Check that config.json and the weights belong together, or download the folder again: "
            "hf download REPO --local-dir FOLDER"
        )


def _mismatched(report: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return name, shape found and shape asked for of the tensors of another shape."""
    return sorted(report.get("mismatched_keys") or (), key=lambda entry: str(entry[0]))


def _end_tokens(folder: ModelFolder, config: Any, tokenizer: Any, name: str) -> tuple[tuple[int, ...], int]:
    """End-of-sequence tokens (generation_config.json, else config, else tokenizer) and the padding token."""
    text, known = config.get_text_config(), folder.generation
    vocab_size = int(text.vocab_size)
    with values_of("generation_config.json", name):
        stop = _token_ids("eos_token_id", known.get("eos_token_id"), vocab_size)
        pad = _token_ids("pad_token_id", known.get("pad_token_id"), vocab_size)
    with values_of("config.json", name):
        stop = stop or _token_ids("eos_token_id", text.eos_token_id, vocab_size)
    with values_of("tokenizer_config.json", name):
        stop = stop or _token_ids("eos_token", tokenizer.eos_token_id, vocab_size)
        pad = pad or _token_ids("pad_token", tokenizer.pad_token_id, vocab_size)
    return stop, (pad or stop or (0,))[0]


def _token_ids(key: str, value: Any, vocab_size: int) -> tuple[int, ...]:
    """Token ids written as one number or a list of them; none where the key is null."""
    ids = () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)
    if not all(type(token) is int and 0 <= token < vocab_size for token in ids):
        raise ValueError(f"{key}={quote(value)}: must be token ids from 0 to {vocab_size - 1}")
    return ids


def _context_length(config: Any, name: str) -> int:
    with values_of("config.json", name):
        length = config.get_text_config().max_position_embeddings
        if type(length) is not int or length < 1:
            raise ValueError(f"max_position_embeddings={quote(length)}: must be a whole number from 1 on")
    return int(length)


def _encoder(
    folder: ModelFolder,
    family: ModelFamily,
    config: Any,
    tokenizer: Any,
    budget: PixelBudget | None,
    enable_thinking: bool | None,
    name: str,
) -> PromptEncoder:
    templates = dict(folder.chat_templates)
    if family.chat_template is not None:
        templates[DEFAULT_TEMPLATE] = family.chat_template
    tokenizer.chat_template = templates[DEFAULT_TEMPLATE]
    remedy = AGAIN
    if family not in BUILTIN_FAMILIES:
        remedy = (
            f"They are read by the registered family {type(family).__name__}: write its vision_settings, video_budget, "
            "image_budget and lay_out_video for this architecture"
        )
    with values_of(f"{folder.video_file} (or vision_config in config.json)", name, remedy=remedy):
        settings = family.vision_settings(config, folder.video_processor)
        video = VisionSpec(settings, budget or family.video_budget(settings, folder.video_processor))
    with values_of(f"{folder.image_file} (or vision_config in config.json)", name, remedy=remedy):
        settings = family.vision_settings(config, folder.image_processor)
        image = VisionSpec(settings, family.image_budget(settings, folder.image_processor))
    with values_of("config.json", name, remedy=remedy):
        family.lay_out_video([(0.0, 0.5), (1.0, 1.5)], config)
    return PromptEncoder(
        tokenizer,
        templates,
        family,
        config,
        video=video,
        image=image,
        source=name,
        template_file=folder.template_file,
        template_options={} if enable_thinking is None else {"enable_thinking": enable_thinking},
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bar off the terminal while loading."""
    from transformers.utils import logging as progress

    was_on = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_on:
            progress.enable_progress_bar()  # type: ignore[no-untyped-call]


def _in_short(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:200] or type(exc).__name__
