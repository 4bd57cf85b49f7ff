"""Where a model runs and in which precision, whether it fits there, and what is told where memory runs out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from vreason_agent.errors import ConfigError, GenerationError, ModelLoadError, quote
from vreason_agent.model.folder import ModelFolder

__all__ = [
    "available_bytes",
    "check_memory",
    "choose_device",
    "choose_dtype",
    "is_out_of_memory",
    "memory_remedy",
    "named_dtype",
    "out_of_memory_as",
    "weight_bytes",
]

SMALL_MODEL_PARAMETERS = 1_000_000_000
"""On CPU and MPS, models up to this size run in float32; larger ones in bfloat16, which halves their memory."""
LOADING_OVERHEAD = 1.15
"""Memory for buffers and activations while loading, as a factor on the weights."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


_SIGNS = ("not enough memory", "DefaultCPUAllocator", "out of memory", "ALLOC_FAILED", "Cannot allocate memory")
"""What torch's allocators, cuBLAS and the operating system say where no class of its own tells it."""


def choose_device(device: str | torch.device | None) -> torch.device:
    """Return the asked device, or the best there is: CUDA, then MPS, then CPU.

    Raises:
        ConfigError: the name is no device, or this machine or build of torch lacks it.
    """
    if device is None or device == "auto":
        return torch.device("cuda" if _has("cuda") else "mps" if _has("mps") else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as exc:
        raise ConfigError(f"device {quote(device)} is not known; pass --device cpu, cuda, cuda:1 or mps") from exc
    if chosen.type not in {"cpu", "cuda", "mps"} or not _has(chosen.type):
        raise ConfigError(
            f"device {quote(str(device))} is not available to torch {torch.__version__} on this machine; pass "
            "--device cpu, "
            "or leave --device out to take the best there is"
        )
    return chosen


def choose_dtype(dtype: str | torch.dtype | None, device: torch.device, num_parameters: int) -> torch.dtype:
    """Return the asked precision, or a sensible one.

    CUDA: bfloat16 (float16 on cards without it). CPU and MPS: float32 up to a billion parameters, else bfloat16.

    Raises:
        ConfigError: the name is no supported precision.
    """
    if dtype is None or dtype == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.float32 if num_parameters <= SMALL_MODEL_PARAMETERS else torch.bfloat16
    return named_dtype(dtype)


def named_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """Return the precision of a name, such as `"bfloat16"` or `"torch.bfloat16"`.

    Raises:
        ConfigError: the name is no supported precision.
    """
    chosen = _DTYPES.get(dtype.removeprefix("torch.")) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in _DTYPES.values():
        raise ConfigError(f"dtype {quote(dtype)} is not supported; pass one of: auto, {', '.join(_DTYPES)}")
    return chosen


def weight_bytes(folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> int:
    """Memory of a folder's weights once loaded, bytes: quantized ones as they are stored."""
    # Off a graphics card transformers expands fine-grained FP8.
    is_packed = folder.quantization is not None and (folder.quantization != "fp8" or device.type == "cuda")
    return folder.num_bytes if is_packed else folder.num_parameters * dtype.itemsize


def check_memory(folder: ModelFolder, device: torch.device, dtype: torch.dtype, *, source: str) -> None:
    """Raise before loading what cannot fit.

    Raises:
        ModelLoadError: the weights need more memory than the device has free.
    """
    needed = int(weight_bytes(folder, device, dtype) * LOADING_OVERHEAD)
    free = available_bytes(device)
    if free is None or needed <= free:
        return
    raise ModelLoadError(
        f"model {quote(source)} has {folder.num_parameters / 1e9:.2f} billion parameters and needs about "
        f"{needed / 1e9:.1f} GB as {str(dtype).removeprefix('torch.')} on {device}, which has {free / 1e9:.1f} GB "
        f"free. {memory_remedy(device, dtype)}"
    )


def memory_remedy(device: torch.device, dtype: torch.dtype) -> str:
    """What to do where a model of this precision does not fit on this device."""
    smaller = "pass --dtype bfloat16 to halve it, " if dtype == torch.float32 else ""
    elsewhere = "" if device.type == "cpu" else "pass --device cpu, "
    return (
        f"Close other programs, {smaller}{elsewhere}or choose a smaller model, for example "
        "--model Qwen/Qwen2.5-VL-3B-Instruct"
    )


def available_bytes(device: torch.device) -> int | None:
    """Free memory of a device, bytes; `None` where it cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    limits = [limit for limit in (_meminfo_available(), _control_group_free()) if limit is not None]
    if limits:
        return min(limits)
    if "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


@contextmanager
def out_of_memory_as(
    error: type[ModelLoadError] | type[GenerationError], what: str, device: torch.device, *, remedy: str
) -> Iterator[None]:
    """Raise running out of memory as `error`; everything else passes.

    Args:
        error: the class to raise.
        what: what was being done and how large it is, with its numbers.
        device: whose free memory is told.
        remedy: what to do, the end of the message.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as exc:
        if not is_out_of_memory(exc):
            raise
        free = available_bytes(device)
        left = "" if free is None else f", which has {free / 1e9:.1f} GB free now"
        first_line = str(exc).strip().split("\n", 1)[0][:160] or type(exc).__name__
        raise error(f"{what}: out of memory on {device}{left} ({first_line}). {remedy}") from exc


def is_out_of_memory(exc: BaseException) -> bool:
    """Tell whether an error means that memory ran out."""
    if isinstance(exc, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(exc, OSError):
        return exc.errno == errno.ENOMEM
    return isinstance(exc, RuntimeError) and any(sign in str(exc) for sign in _SIGNS)


def _has(kind: str) -> bool:
    if kind == "cuda":
        return torch.cuda.is_available()
    return torch.backends.mps.is_available() if kind == "mps" else True


def _meminfo_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _control_group_free() -> int | None:
    """What a container's own memory limit leaves, bytes; file cache that can be dropped counts as free."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except OSError:
        return None
    if limit == "max":
        return None
    return max(int(limit) - used + int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0)), 0)
