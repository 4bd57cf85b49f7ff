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

from vreason_agent.errors import ModelLoadError

__all__ = ["ModelFolder", "TensorSizes", "open_folder"]

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"
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
        chat_template: Jinja text, `None` where only the tokenizer may have one.
        weight_files: the safetensors files to load.
        sizes: parameters and bytes of the weights.
    """

    path: Path
    config: Mapping[str, Any]
    image_processor: Mapping[str, Any]
    video_processor: Mapping[str, Any]
    chat_template: str | None
    weight_files: tuple[Path, ...]
    sizes: TensorSizes


def open_folder(path: Path, *, source: str) -> ModelFolder:
    """Read the small files of a model folder and the headers of its weights.

    Args:
        path: an existing folder.
        source: the name the user gave, for messages.

    Raises:
        ModelLoadError: `config.json`, the preprocessor file or weights are missing or broken, or the weights quantized.
    """
    if not (path / "config.json").is_file():
        found = ", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "nothing"
        raise ModelLoadError(
            f"model folder {source!r} has no config.json (found: {found}). Point --model at the folder that holds "
            "config.json and the .safetensors files, or download it again: hf download REPO --local-dir FOLDER"
        )
    config = _read_json(path / "config.json")
    _refuse_quantized(config, source)
    image, video = _processors(path, source)
    weights = _weight_files(path, source)
    return ModelFolder(path, config, image, video, _chat_template(path), weights, _sizes(weights))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise ModelLoadError(f"{str(path)!r} is not valid JSON ({exc}). Download the file again") from exc
    if not isinstance(data, dict):
        raise ModelLoadError(
            f"{str(path)!r} holds a JSON {type(data).__name__}, not an object. Download the file again"
        )
    return data


def _refuse_quantized(config: Mapping[str, Any], source: str) -> None:
    """Reject AWQ, GPTQ, bitsandbytes, FP8 and the like, wherever the config names them."""
    for part in (config, *(value for value in config.values() if isinstance(value, Mapping))):
        if found := part.get("quantization_config") or part.get("compression_config"):
            method = found.get("quant_method", "unnamed") if isinstance(found, Mapping) else found
            raise ModelLoadError(
                f"the weights of {source!r} are quantized ({method}): steering has not been shown correct on them. "
                "Take the same model unquantized, or a smaller one"
            )


def _optional_json(path: Path) -> dict[str, Any]:
    return _read_json(path) if path.is_file() else {}


def _processors(path: Path, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    both = _optional_json(path / "processor_config.json")
    image = _optional_json(path / "preprocessor_config.json") or both.get("image_processor") or {}
    video = _optional_json(path / "video_preprocessor_config.json") or both.get("video_processor") or {}
    if not image and not video:
        raise ModelLoadError(
            f"model folder {source!r} has no preprocessor_config.json, video_preprocessor_config.json or "
            "processor_config.json, which say how frames are normalized. Download the folder again with all its .json "
            "files: hf download REPO --local-dir FOLDER"
        )
    return image or video, video or image


def _chat_template(path: Path) -> str | None:
    jinja = path / "chat_template.jinja"
    if jinja.is_file():
        return jinja.read_text(encoding="utf-8")
    for name in ("chat_template.json", "processor_config.json"):
        template = _optional_json(path / name).get("chat_template")
        if isinstance(template, str):
            return template
    return None


def _weight_files(path: Path, source: str) -> tuple[Path, ...]:
    if (path / _SINGLE).is_file():
        return (path / _SINGLE,)
    names = sorted(set(_optional_json(path / _INDEX).get("weight_map", {}).values()))
    missing = [name for name in names if not (path / name).is_file()]
    if names and not missing:
        return tuple(path / name for name in names)
    if missing:
        raise ModelLoadError(
            f"model folder {source!r} lacks {len(missing)} of {len(names)} weight files, the first being "
            f"{missing[0]!r}. Complete the download: hf download REPO --local-dir FOLDER"
        )
    pickled = sorted(entry.name for entry in path.iterdir() if entry.suffix in {".bin", ".pt", ".pth"})
    hint = f" (it has {pickled[0]!r}, and pickled weights are never loaded)" if pickled else ""
    raise ModelLoadError(
        f"model folder {source!r} has neither {_SINGLE} nor {_INDEX}{hint}. Download the safetensors files: "
        "hf download REPO --local-dir FOLDER"
    )


def _sizes(files: tuple[Path, ...]) -> TensorSizes:
    parameters = stored = 0
    for file in files:
        for name, tensor in _header(file).items():
            if name != "__metadata__":
                parameters += math.prod(tensor["shape"])
                stored += tensor["data_offsets"][1] - tensor["data_offsets"][0]
    return TensorSizes(parameters, stored)


def _header(file: Path) -> dict[str, Any]:
    """Read the JSON header of a safetensors file: 8 bytes of length, then the header, then the data."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if 0 < length <= _MAX_HEADER_BYTES else None
        if not isinstance(header, dict):
            raise ValueError("no header")
        end = max((t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"), default=0)
        if file.stat().st_size < 8 + length + end:
            raise ValueError(f"{8 + length + end - file.stat().st_size} bytes are missing at the end")
    except (ValueError, KeyError, TypeError) as exc:
        raise ModelLoadError(
            f"weight file {str(file)!r} is no complete safetensors file ({exc}). Download it again: "
            "hf download REPO --local-dir FOLDER"
        ) from exc
    return header
