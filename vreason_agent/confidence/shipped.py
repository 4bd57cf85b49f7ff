"""Which calibrators are there for a model: the package's own for the bundled model, or the file that is named.

This module knows no model; a model is its weights' digest.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from vreason_agent.confidence.calibration import Calibrator

SHIPPED = "shipped"


def find_calibrators(name: str | None, weights_digest: str) -> tuple[Calibrator, ...]:
    """Return the calibrators that may apply to a model's answers.

    Args:
        name: `"shipped"`: those of the package that were fitted on these very weights; else a file; `None`: none.
        weights_digest: Of the model.

    Raises:
        ConfigError: If the file cannot be read or is no calibrator.
    """
    if name is None:
        return ()
    if name != SHIPPED:
        stamp = Path(name).stat().st_mtime_ns if Path(name).exists() else 0
        return (_load(name, stamp),)
    return tuple(one for one in shipped_calibrators() if one.fingerprint.get("weights") == weights_digest)


@lru_cache(maxsize=1)
def shipped_calibrators() -> tuple[Calibrator, ...]:
    """Return the calibrators of the package, with V-Reason's default schedule and with `off`."""
    folder = files("vreason_agent.confidence") / "calibrators"
    paths = sorted(path.name for path in folder.iterdir() if path.name.endswith(".json"))
    return tuple(Calibrator.from_json((folder / name).read_text(encoding="utf-8")) for name in paths)


@lru_cache(maxsize=16)
def _load(path: str, stamp: int) -> Calibrator:
    return Calibrator.load(path)
