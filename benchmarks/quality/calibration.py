"""Fit a calibrator for one decoding on all rungs of a ladder, and show how good its probability is.

The figures are cross-validated by clip; the calibrator is written for the setup that answered. This module does not
apply it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.quality.bench import Bench
from vreason_agent.decoding import VReasonConfig
from vreason_agent.evaluation import Result, common_setup, fit_calibrator
from vreason_agent.evaluation.adapter import Setting
from vreason_agent.evaluation.calibration_report import calibration_text


def calibrate(bench: Bench, vreason: VReasonConfig, frame_counts: Sequence[int], *, path: Path, held_out: float) -> str:
    """Fit on the answers at every number of frames together, save the calibrator, and return its figures as text.

    Args:
        bench: Questions to fit on, and the model.
        vreason: Decoding.
        frame_counts: Numbers of frames; the calibrator reads them as a signal.
        path: Where the calibrator is written.
        held_out: Share of the clips that is kept for bounds on the ladder's risk.
    """
    settings = [Setting(num_frames=count, max_frames=max(frame_counts), vreason=vreason) for count in frame_counts]
    results: list[Result] = [row for setting in settings for row in bench.run(setting)]
    calibrator, report = fit_calibrator(results, fingerprint=common_setup(results), held_out=held_out)
    calibrator.save(path)
    return f"{bench.title}, {vreason.schedule}, weights {bench.engine.fingerprint}.\n\n" + calibration_text(
        calibrator, report, path
    )
