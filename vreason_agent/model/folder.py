"""A model folder in the published Hugging Face layout: which files it has and what they say, without loading weights.

Old and new names are read: chat templates from `chat_template.jinja` and `additional_chat_templates/`,
`chat_template.json`, `processor_config.json` or `tokenizer_config.json`; image and video preprocessing from
`preprocessor_config.json`, `video_preprocessor_config.json` or their sections in `processor_config.json`; weights as
one `model.safetensors` or as shards with an index. Pickled weights (`.bin`, `.pt`) are never read. The folder of a PEFT
adapter is that of the model it names, with the adapter's own beside it.

This module imports no torch, so that a wrong folder is found before the heavy libraries are loaded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vreason_agent.errors import ModelLoadError, quote
from vreason_agent.model.families import family_for
from vreason_agent.model.families.base import ModelFamily
from vreason_agent.model.model_files import AGAIN, optional_json, read_json, read_text
from vreason_agent.model.peft_adapter import find_base
from vreason_agent.model.quantized import check_packages, quantization_of

__all__ = ["DEFAULT_TEMPLATE", "TOOL_TEMPLATE", "ModelFolder", "open_folder"]

DEFAULT_TEMPLATE, TOOL_TEMPLATE = "default", "tool_use"
"""Names of the chat templates of a folder that has several."""

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"
_BOTH, _TOKENIZER = "processor_config.json", "tokenizer_config.json"


@dataclass(frozen=True)
class ModelFolder:
    """The parsed files of a model folder.

    Attributes:
        path: the folder.
        config: `config.json`.
        family: the model family that `config.json` names.
        image_processor: settings of still images.
        video_processor: settings of videos; those of images where no file has their own.
        image_file: the file that the settings of still images stand in.
        video_file: the file that the settings of videos stand in.
        generation: `generation_config.json`, `{}` where there is none.
        chat_templates: Jinja texts by name, among them `default`; `tool_use`, where there is one, is for conversations
            with tools.
        template_file: the file that the default chat template stands in.
        weight_files: the safetensors files to load.
        num_parameters: numbers in all tensors of the weights; several of them may be packed into one where quantized.
        num_bytes: size of the weight files, bytes.
        quantization: method that the weights are quantized by, such as `bitsandbytes`; `None` without one.
        adapter: the folder of a PEFT adapter that is merged into the weights; `None` without one.
    """

    path: Path
    config: Mapping[str, Any]
    family: ModelFamily
    image_processor: Mapping[str, Any]
    video_processor: Mapping[str, Any]
    image_file: str
    video_file: str
    generation: Mapping[str, Any]
    chat_templates: Mapping[str, str]
    template_file: str
    weight_files: tuple[Path, ...]
    num_parameters: int
    num_bytes: int
    quantization: str | None = None
    adapter: Path | None = None


def open_folder(path: Path, *, source: str) -> ModelFolder:
    """Read the small files of a model folder and the headers of its weights.

    Args:
        path: an existing folder.
        source: the name the user gave, for messages.

    Raises:
        ModelLoadError: the folder holds an architecture without a family, or an adapter beside weights; a file is
            missing or damaged (named).
        DependencyError: the weights are quantized or an adapter, and a package that reads them is missing.
    """
    if based := find_base(path, source=source):
        base, base_path = based
        return replace(open_folder(base_path, source=base), adapter=path)
    if not (path / "config.json").is_file():
        found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise ModelLoadError(
            f"model folder {quote(source)} has no config.json (found: {found}). Point --model at the folder that holds "
            "config.json and the .safetensors files, or download it again: hf download REPO --local-dir FOLDER"
        )
    config = read_json(path / "config.json")
    if quantization := quantization_of(config):
        check_packages(quantization, source=source)
    family = family_for(config, source=source)
    processors = _processors(path, source)
    templates, template_file = _chat_templates(path, source)
    weights = _weight_files(path, source)
    return ModelFolder(
        path,
        config,
        family,
        generation=optional_json(path / "generation_config.json"),
        chat_templates=templates,
        template_file=template_file,
        weight_files=weights,
        num_parameters=_count_parameters(weights, source),
        num_bytes=sum(file.stat().st_size for file in weights),
        quantization=quantization,
        **processors,
    )


def _processor(path: Path, kind: str) -> tuple[dict[str, Any], str]:
    """Settings of images or videos, and the file they stand in; `{}` where no file has them."""
    own = "preprocessor_config.json" if kind == "image" else "video_preprocessor_config.json"
    if settings := optional_json(path / own):
        return settings, own
    settings = optional_json(path / _BOTH).get(f"{kind}_processor") or {}
    if not isinstance(settings, dict):
        raise ModelLoadError(
            f"{kind}_processor in {quote(str(path / _BOTH))} is {quote(settings)}, not an object. {AGAIN}"
        )
    return settings, _BOTH


def _processors(path: Path, source: str) -> dict[str, Any]:
    (image, image_file), (video, video_file) = _processor(path, "image"), _processor(path, "video")
    if not image and not video:
        raise ModelLoadError(
            f"model folder {quote(source)} has no preprocessor_config.json, video_preprocessor_config.json or "
            "processor_config.json, which say how frames are normalized; save_pretrained of a model alone does not "
            "write them. Fetch them and the tokenizer from the model it was made from: hf download REPO --include "
            "'*processor*' --include '*token*' --include 'chat_template*' --local-dir FOLDER"
        )
    return {
        "image_processor": image or video,
        "image_file": image_file if image else video_file,
        "video_processor": video or image,
        "video_file": video_file if video else image_file,
    }


def _chat_templates(path: Path, source: str) -> tuple[dict[str, str], str]:
    """The chat templates by name, and the file that the default one stands in."""
    more = {file.stem: read_text(file) for file in sorted((path / "additional_chat_templates").glob("*.jinja"))}
    if (path / "chat_template.jinja").is_file():
        return {**more, DEFAULT_TEMPLATE: read_text(path / "chat_template.jinja")}, "chat_template.jinja"
    for name in ("chat_template.json", _BOTH, _TOKENIZER):
        found = optional_json(path / name).get("chat_template")
        if found:
            named = {**more, **_named_templates(found, path / name)}
            if DEFAULT_TEMPLATE in named:
                return named, name
            raise ModelLoadError(
                f"the chat templates of model {quote(source)} in {name} are named {', '.join(sorted(named))}, and none "
                f"is {quote(DEFAULT_TEMPLATE)}. Save the one for conversations as chat_template.jinja in the folder"
            )
    raise ModelLoadError(
        f"model {quote(source)} has no chat template (looked for chat_template.jinja, chat_template.json, {_BOTH} and "
        f"{_TOKENIZER}). Base models are not trained for conversations: choose an -Instruct model; save_pretrained of "
        "a model alone does not write it: copy that of the model it was made from"
    )


def _named_templates(found: object, file: Path) -> dict[str, str]:
    """One template is the default; several are an object, or a list of objects with `name` and `template`."""
    if isinstance(found, list) and all(isinstance(entry, Mapping) for entry in found):
        found = {entry.get("name"): entry.get("template") for entry in found}
    named = found if isinstance(found, Mapping) else {DEFAULT_TEMPLATE: found}
    if not all(isinstance(text, str) for pair in named.items() for text in pair):
        raise ModelLoadError(
            f"chat_template in {quote(str(file))} is neither a text nor a list of named texts. {AGAIN}"
        )
    return dict(named)


def _weight_files(path: Path, source: str) -> tuple[Path, ...]:
    if (path / _SINGLE).is_file():
        return (path / _SINGLE,)
    names = _shards(path / _INDEX)
    missing = [name for name in names if not (path / name).is_file()]
    if names and not missing:
        return tuple(path / name for name in names)
    if missing:
        raise ModelLoadError(
            f"model folder {quote(source)} lacks {len(missing)} of {len(names)} weight files, the first being "
            f"{quote(missing[0])}. Complete the download: hf download REPO --local-dir FOLDER"
        )
    pickled = sorted(entry.name for entry in path.iterdir() if entry.suffix in {".bin", ".pt", ".pth"})
    hint = f" (it has {quote(pickled[0])}, and pickled weights are never loaded)" if pickled else ""
    convert = (
        ", or, if you trust the file, convert it with the model's class in transformers: CLASS.from_pretrained(FOLDER, "
        "use_safetensors=False).save_pretrained(FOLDER)"
    )
    raise ModelLoadError(
        f"model folder {quote(source)} has neither {_SINGLE} nor {_INDEX}{hint}. Download the safetensors files: "
        f"hf download REPO --local-dir FOLDER{convert if pickled else ''}"
    )


def _shards(index: Path) -> list[str]:
    """The weight files that an index names, each once; none where there is no index."""
    weight_map = optional_json(index).get("weight_map", {})
    if not isinstance(weight_map, Mapping) or not all(_is_file_name(name) for name in weight_map.values()):
        raise ModelLoadError(
            f"weight_map in {quote(str(index))} is no object from tensor names to names of files beside it. {AGAIN}"
        )
    return sorted(set(weight_map.values()))


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and Path(value).name == value


def _count_parameters(files: tuple[Path, ...], source: str) -> int:
    """Read the headers of the weight files, which also shows whether the files are complete."""
    num_parameters = 0
    for file in files:
        try:
            with safe_open(file, framework="numpy") as tensors:
                names = list(tensors.keys())
                num_parameters += sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
        except (SafetensorError, OSError) as exc:
            raise ModelLoadError(
                f"weight file {quote(str(file))} is no complete safetensors file ({exc}). Download it again: "
                "hf download REPO --local-dir FOLDER"
            ) from exc
        if lora := next((name for name in names if ".lora_" in name), None):
            raise ModelLoadError(
                f"weight file {quote(str(file))} of model {quote(source)} holds an adapter that is not merged "
                f"({lora}) and has no adapter_config.json. Save the model merged: "
                "model.merge_and_unload().save_pretrained(FOLDER)"
            )
    return num_parameters
