"""Folders of quantized weights: by which method, and which packages transformers reads them with.

Nothing is quantized here: a folder says in `config.json` that its weights are. V-Reason's controller stays in float32.
This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from vreason_agent.errors import DependencyError, quote

__all__ = ["check_packages", "quantization_of"]

_PACKAGES = {
    "awq": ("accelerate", "gptqmodel"),
    "bitsandbytes": ("accelerate", "bitsandbytes"),
    "compressed-tensors": ("accelerate", "compressed_tensors"),
    "fbgemm_fp8": ("accelerate", "fbgemm_gpu"),
    "fp8": ("accelerate",),
    "gptq": ("accelerate", "gptqmodel", "optimum"),
    "torchao": ("accelerate", "torchao"),
}
"""Modules by `quant_method`; of a method that is not listed transformers says itself what it needs."""


def quantization_of(config: Mapping[str, Any]) -> str | None:
    """Return the method that a `config.json` says its weights are quantized by, such as `awq`; `None` without one."""
    for part in (config, *(value for value in config.values() if isinstance(value, Mapping))):
        if found := part.get("quantization_config") or part.get("compression_config"):
            method = found.get("quant_method") if isinstance(found, Mapping) else None
            return str(method or "unnamed method")
    return None


def check_packages(method: str, *, source: str) -> None:
    """Check that what reads weights of this method is installed.

    Args:
        method: as `quantization_of` returns it.
        source: the name the user gave, for the message.

    Raises:
        DependencyError: names the command that installs all that is missing.
    """
    missing = [name for name in _PACKAGES.get(method, ("accelerate",)) if find_spec(name) is None]
    if missing:
        packages = " ".join(name.replace("_", "-") for name in missing)
        raise DependencyError(
            f"the weights of model {quote(source)} are quantized ({method}), and {' and '.join(missing)}, which reads "
            f"them, is not installed. Run: pip install {packages}"
        )
