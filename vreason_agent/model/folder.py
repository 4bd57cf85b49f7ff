"""A model folder in the published Hugging Face layout: which files it has and what they say, without loading weights.

Old and new names are read: the chat template from `chat_template.jinja`, `chat_template.json`, `processor_config.json`
or the tokenizer; image and video preprocessing from `preprocessor_config.json`, `video_preprocessor_config.json` or
their sections in `processor_config.json`; weights as one `model.safetensors` or as shards with an index. Pickled
weights (`.bin`, `.pt`) are never read.

This module does not know about hubs, devices, families or transformers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vreason_agent.errors import ModelLoadError, quote
from vreason_agent.model.reading import AGAIN, optional_json, read_json, read_text

__all__ = ["ModelFolder", "TensorSizes", "open_folder"]

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"
_BOTH = "processor_config.json"
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class TensorSizes:
    """What the headers of the weight files say.

    Attributes:
        num_parameters: numbers in all tensors.
        num_bytes: bytes they take as stored.
    """

    num_parameters: int
    num_bytes: int


@dataclass(frozen=True)
class ModelFolder:
    """The parsed files of a model folder.

    Attributes:
        path: the folder.
        config: `config.json`.
        image_processor: settings of still images, `{}` where no file has them.
        video_processor: settings of videos; those of images where no file has their own.
        image_file: the file that the settings of still images stand in.
        video_file: the file that the settings of videos stand in.
        generation: `generation_config.json`, `{}` where there is none.
        chat_template: Jinja text, `None` where only the tokenizer may have one.
        template_file: the file that the chat template stands in.
        weight_files: the safetensors files to load.
        sizes: parameters and bytes of the weights.
    """

    path: Path
    config: Mapping[str, Any]
    image_processor: Mapping[str, Any]
    video_processor: Mapping[str, Any]
    image_file: str
    video_file: str
    generation: Mapping[str, Any]
    chat_template: str | None
    template_file: str
    weight_files: tuple[Path, ...]
    sizes: TensorSizes


def open_folder(path: Path, *, source: str) -> ModelFolder:
    """Read the small files of a model folder and the headers of its weights.

    Args:
        path: an existing folder.
        source: the name the user gave, for messages.

    Raises:
        ModelLoadError: `config.json`, the preprocessor file or weights are missing, a file is damaged (named), or the
            weights are quantized.
    """
    if not (path / "config.json").is_file():
        found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise ModelLoadError(
            f"model folder {quote(source)} has no config.json (found: {found}). Point --model at the folder that holds "
            "config.json and the .safetensors files, or download it again: hf download REPO --local-dir FOLDER"
        )
    config = read_json(path / "config.json")
    _refuse_quantized(config, source)
    processors = _processors(path, source)
    template, template_file = _chat_template(path)
    weights = _weight_files(path, source)
    return ModelFolder(
        path,
        config,
        generation=optional_json(path / "generation_config.json"),
        chat_template=template,
        template_file=template_file,
        weight_files=weights,
        sizes=_sizes(weights),
        **processors,
    )


def _refuse_quantized(config: Mapping[str, Any], source: str) -> None:
    """Reject AWQ, GPTQ, bitsandbytes, FP8 and the like, wherever the config names them."""
    for part in (config, *(value for value in config.values() if isinstance(value, Mapping))):
        if found := part.get("quantization_config") or part.get("compression_config"):
            method = found.get("quant_method", "unnamed") if isinstance(found, Mapping) else found
            raise ModelLoadError(
                f"the weights of {quote(source)} are quantized ({method}): steering has not been shown correct on "
                "them. "
                "Take the same model unquantized, or a smaller one"
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
            "processor_config.json, which say how frames are normalized. Download the folder again with all its .json "
            "files: hf download REPO --local-dir FOLDER"
        )
    return {
        "image_processor": image or video,
        "image_file": image_file if image else video_file,
        "video_processor": video or image,
        "video_file": video_file if video else image_file,
    }


def _chat_template(path: Path) -> tuple[str | None, str]:
    """The template, and the file it stands in."""
    jinja = path / "chat_template.jinja"
    if jinja.is_file():
        return read_text(jinja), jinja.name
    for name in ("chat_template.json", _BOTH):
        template = optional_json(path / name).get("chat_template")
        if isinstance(template, str):
            return template, name
    return None, "tokenizer_config.json"


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
    raise ModelLoadError(
        f"model folder {quote(source)} has neither {_SINGLE} nor {_INDEX}{hint}. Download the safetensors files: "
        "hf download REPO --local-dir FOLDER"
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


def _sizes(files: tuple[Path, ...]) -> TensorSizes:
    parameters = stored = 0
    for file in files:
        for name, tensor in _header(file).items():
            if name != "__metadata__":
                parameters += math.prod(tensor["shape"])
                begin, end = tensor["data_offsets"]
                stored += end - begin
    return TensorSizes(parameters, stored)


def _header(file: Path) -> dict[str, Any]:
    """Read the JSON header of a safetensors file: 8 bytes of length, then the header, then the data."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if 0 < length <= _MAX_HEADER_BYTES else None
        if not isinstance(header, dict):
            raise ValueError("no header")
        tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
        if not all(_is_sized(tensor) for tensor in tensors):
            raise ValueError("its header holds a tensor without whole numbers as shape and offsets")
        end = max((tensor["data_offsets"][1] for tensor in tensors), default=0)
        if file.stat().st_size < 8 + length + end:
            raise ValueError(f"{8 + length + end - file.stat().st_size} bytes are missing at the end")
    except (ValueError, RecursionError, OSError) as exc:
        raise ModelLoadError(
            f"weight file {quote(str(file))} is no complete safetensors file ({exc}). Download it again: "
            "hf download REPO --local-dir FOLDER"
        ) from exc
    return header


def _is_sized(tensor: object) -> bool:
    """Tell whether an entry of a header has a shape and two offsets, all whole numbers."""
    if not isinstance(tensor, Mapping):
        return False
    shape, offsets = tensor.get("shape"), tensor.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        return False
    return all(isinstance(number, int) and number >= 0 for number in (*shape, *offsets))
