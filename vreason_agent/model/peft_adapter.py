"""Folders of PEFT adapters (LoRA and its relatives): which model they are for, and merging them into it.

Only `adapter_model.safetensors` is read. This module imports peft and torch when it merges, not before.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from vreason_agent.errors import DependencyError, ModelLoadError, quote
from vreason_agent.model.model_files import optional_json, read_json
from vreason_agent.model.source import locate_model

__all__ = ["find_base", "merge_adapter"]

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_WITHOUT_MERGE = ("ADAPTION_PROMPT", "CPT", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "PROMPT_TUNING")
"""Values of `peft_type` that add to the prompt and not to the weights."""
_OLD_NAMES = {
    r"^model\.(?=layers|norm|embed_tokens)": "model.language_model.",
    r"^visual\.": "model.visual.",
    r"^language_model\.model\.": "model.language_model.",
    r"^(vision_tower|multi_modal_projector)\.": r"model.\1.",
}
"""Names of modules before transformers moved the parts under `model.`, which adapters of that time carry."""


def find_base(path: Path, *, source: str) -> tuple[str, Path] | None:
    """Return the name and the folder of the model that an adapter folder is for; `None` where it holds no adapter.

    Args:
        path: an existing folder.
        source: the name the user gave, for messages.

    Raises:
        ModelLoadError: the folder holds weights beside the adapter, the adapter is incomplete, pickled or cannot be
            merged, or its model is not found.
        DependencyError: peft is not installed.
    """
    found = sorted(entry.name for entry in path.iterdir() if entry.name == CONFIG or entry.stem == "adapter_model")
    if not found:
        return None
    what = f"model folder {quote(source)} holds an adapter ({', '.join(found)})"
    if any((path / f"model.safetensors{end}").is_file() for end in ("", ".index.json")):
        raise ModelLoadError(
            f"{what} beside the weights of a model, and only one of the two can be meant. Move the adapter's files "
            "into a folder of their own and pass that, or delete them to use the weights without the adapter"
        )
    if CONFIG not in found or WEIGHTS not in found:
        is_pickled = "adapter_model.bin" in found
        pickled = ", and 'adapter_model.bin' is pickled, which is never loaded" if is_pickled else ""
        raise ModelLoadError(
            f"{what}, and needs both {CONFIG} and {WEIGHTS}{pickled}. Save it again with peft, as safetensors: "
            "peft_model.save_pretrained(FOLDER)"
        )
    config = read_json(path / CONFIG)
    if (kind := config.get("peft_type")) in _WITHOUT_MERGE:
        raise ModelLoadError(f"{what} of the kind {kind}, which cannot be merged into weights. Train a LoRA adapter")
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelLoadError(
            f"{what} that does not name its model. Write the folder or hub id that it was trained on into {CONFIG} as "
            '"base_model_name_or_path"'
        )
    if find_spec("peft") is None:
        raise DependencyError(f"{what}, which peft merges. Run: pip install 'vreason-agent[peft]'")
    return base, _locate_base(base, config.get("revision"), what)


def _locate_base(base: str, revision: str | None, what: str) -> Path:
    try:
        folder = locate_model(base, revision=revision)
    except ModelLoadError as exc:
        raise ModelLoadError(
            f"{what} for another model: {exc}. Or correct base_model_name_or_path in {CONFIG}"
        ) from exc
    if optional_json(folder / CONFIG):
        raise ModelLoadError(
            f"{what} for {quote(base)}, which is an adapter too. Merge that one first, with peft: "
            "model.merge_and_unload().save_pretrained(FOLDER)"
        )
    return folder


def merge_adapter(hf_model: Any, path: Path, *, source: str) -> Any:
    """Add an adapter's weights to a model's, in place.

    Args:
        hf_model: the transformers model that the adapter is for, on its device.
        path: the adapter's folder.
        source: the name the user gave, for messages.

    Returns:
        The model with the adapter merged, of its own class.

    Raises:
        ModelLoadError: the adapter belongs to another model: shapes differ, or tensors find no place.
    """
    import warnings

    from peft import PeftModel

    remedy = f"Check base_model_name_or_path in {CONFIG}"
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            adapted = PeftModel.from_pretrained(hf_model, str(path), key_mapping=_OLD_NAMES)
    except (AttributeError, LookupError, RuntimeError, SafetensorError, TypeError, ValueError) as exc:
        found = " ".join(str(exc).split())[:200]
        raise ModelLoadError(f"the adapter {quote(source)} does not fit its model ({found}). {remedy}") from exc
    if missing := next((str(one.message) for one in told if "missing adapter keys" in str(one.message)), None):
        raise ModelLoadError(
            f"the tensors of the adapter {quote(source)} have other names than its model's ({missing[:200]}). {remedy}"
        )
    return adapted.merge_and_unload()
