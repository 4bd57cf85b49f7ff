"""A model folder to a `VideoLanguageModel`: weights from safetensors, tokenizer, template, placement.

No code from a model folder is ever run (`trust_remote_code=False`), and of its `generation_config.json` only the end
and padding tokens are used: published Qwen-VL folders carry temperature 1e-6 and a repetition penalty there.

This module does not know where folders come from or which models are loaded already.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers

from vreason_agent.errors import ConfigError, DependencyError, ModelLoadError
from vreason_agent.model.encoding import PromptEncoder, VisionSpec
from vreason_agent.model.engine import VideoLanguageModel
from vreason_agent.model.family import ModelFamily, family_for
from vreason_agent.model.folder import ModelFolder, open_folder
from vreason_agent.model.memory import out_of_memory_as
from vreason_agent.model.placement import check_memory, choose_device, choose_dtype, memory_remedy
from vreason_agent.model.preprocess import PixelBudget
from vreason_agent.model.prompts import AnswerParser, QuestionPrompt, parse_answer, plain_prompt, reasoning_prompt

__all__ = ["ATTENTION_IMPLEMENTATIONS", "build_model"]

ATTENTION_IMPLEMENTATIONS = ("sdpa", "eager")


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
) -> VideoLanguageModel:
    """Load the model in a folder; see `load_model` for the arguments and errors."""
    if attn_implementation not in (None, *ATTENTION_IMPLEMENTATIONS):
        raise ConfigError(
            f"attn_implementation={attn_implementation!r} is not supported: left-padded batches and steering are "
            f"tested with {' and '.join(ATTENTION_IMPLEMENTATIONS)} only; pass one of them, or None for the default"
        )
    chosen = choose_device(device)
    folder = open_folder(path, source=name)
    family = family_for(folder.config, source=name)
    precision = choose_dtype(dtype, chosen, folder.sizes)
    check_memory(folder.sizes, chosen, precision, source=name)
    tokenizer = _load_tokenizer(folder, name)
    hf_model = _load_weights(folder, family, chosen, precision, attn_implementation or "sdpa", name)
    stop, pad = _end_tokens(folder, hf_model.config, tokenizer)
    return VideoLanguageModel(
        name=name,
        revision=revision,
        family=family,
        hf_model=hf_model,
        tokenizer=tokenizer,
        encoder=_encoder(folder, family, hf_model.config, tokenizer, pixel_budget, name),
        device=chosen,
        dtype=precision,
        context_length=int(hf_model.config.get_text_config().max_position_embeddings),
        stop_token_ids=stop,
        pad_token_id=pad,
        question_prompt=question_prompt or (plain_prompt if family.prompt_style == "plain" else reasoning_prompt),
        answer_parser=answer_parser or parse_answer,
    )


def _load_tokenizer(folder: ModelFolder, name: str) -> Any:
    try:
        return transformers.AutoTokenizer.from_pretrained(
            str(folder.path), trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as exc:
        raise ModelLoadError(
            f"the tokenizer of model {name!r} cannot be loaded ({_first_line(exc)}). Download the folder again with "
            "tokenizer.json and tokenizer_config.json: hf download REPO --local-dir FOLDER"
        ) from exc


def _load_weights(
    folder: ModelFolder, family: ModelFamily, device: torch.device, dtype: torch.dtype, attention: str, name: str
) -> Any:
    model_class = getattr(transformers, family.architecture, None)
    if model_class is None:
        raise DependencyError(
            f"transformers {transformers.__version__} has no {family.architecture}, which model {name!r} needs. Run: "
            "pip install -U transformers"
        )
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
            )
            hf_model = hf_model.to(device)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as exc:
        raise ModelLoadError(
            f"the weights of model {name!r} cannot be loaded ({_first_line(exc)}). Check that config.json and the "
            "weights belong together, or download the folder again: hf download REPO --local-dir FOLDER"
        ) from exc
    _check_complete(report, name)
    return hf_model.requires_grad_(False).eval()


def _memory_told(
    folder: ModelFolder, device: torch.device, dtype: torch.dtype, name: str
) -> AbstractContextManager[None]:
    num_bytes = folder.sizes.num_parameters * dtype.itemsize
    what = f"model {name!r}, {num_bytes / 1e9:.3g} GB of weights as {str(dtype).removeprefix('torch.')}"
    return out_of_memory_as(ModelLoadError, what, device, remedy=memory_remedy(device, dtype))


def _check_complete(report: dict[str, Any], name: str) -> None:
    """Refuse what transformers would fill with random numbers."""
    wrong = sorted(report.get("missing_keys") or ()) + [str(key) for key in report.get("mismatched_keys") or ()]
    if wrong:
        raise ModelLoadError(
            f"the weights of model {name!r} lack {len(wrong)} tensors that its config.json asks for, the first being "
            f"{wrong[0]!r}. Check that config.json and the weights belong together, or download the folder again: "
            "hf download REPO --local-dir FOLDER"
        )


def _end_tokens(folder: ModelFolder, config: Any, tokenizer: Any) -> tuple[tuple[int, ...], int]:
    """End-of-sequence tokens (generation_config.json, else config, else tokenizer) and the padding token."""
    file = folder.path / "generation_config.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    candidates = (known.get("eos_token_id"), config.get_text_config().eos_token_id, tokenizer.eos_token_id)
    stop = next((found for found in candidates if found is not None), ())
    ids = tuple(stop) if isinstance(stop, list | tuple) else (int(stop),)
    pads = (known.get("pad_token_id"), tokenizer.pad_token_id, ids[0] if ids else 0)
    return ids, next(int(pad) for pad in pads if pad is not None)


def _encoder(
    folder: ModelFolder, family: ModelFamily, config: Any, tokenizer: Any, budget: PixelBudget | None, name: str
) -> PromptEncoder:
    template = folder.chat_template or getattr(tokenizer, "chat_template", None)
    if not isinstance(template, str):
        raise ModelLoadError(
            f"model {name!r} has no chat template (looked for chat_template.jinja, chat_template.json and the "
            "tokenizer's). Base models are not trained for conversations: choose an -Instruct model"
        )
    tokenizer.chat_template = template
    video = family.vision_settings(config, folder.video_processor)
    image = family.vision_settings(config, folder.image_processor)
    return PromptEncoder(
        tokenizer,
        template,
        family,
        config,
        video=VisionSpec(video, budget or family.video_budget(video, folder.video_processor)),
        image=VisionSpec(image, family.image_budget(image, folder.image_processor)),
        source=name,
    )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bar off the terminal while loading."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _first_line(exc: BaseException) -> str:
    return str(exc).strip().split("\n", 1)[0][:200] or type(exc).__name__
