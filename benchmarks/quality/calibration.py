"""Fit a calibrator for one decoding on all rungs of a ladder, and show how good its probability is.

The figures are cross-validated by clip; the calibrator is written for the setup that answered. This module does not
apply it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.quality.bench import Bench
from vreason_agent.decoding import VReasonConfig
from vreason_agent.evaluation import CalibrationReport, Result, fit_calibrator
from vreason_agent.evaluation.adapter import Setting
from vreason_agent.evaluation.report import markdown_table, number


def calibrate(bench: Bench, vreason: VReasonConfig, frame_counts: Sequence[int], *, path: Path) -> str:
    """Fit on the answers at every number of frames together, save the calibrator, and return its figures as Markdown.

    Args:
        bench: Questions to fit on, and the model.
        vreason: Decoding.
        frame_counts: Numbers of frames; the calibrator reads them as a signal.
        path: Where the calibrator is written.
    """
    max_frames = max(frame_counts)
    settings = [Setting(num_frames=count, max_frames=max_frames, vreason=vreason) for count in frame_counts]
    results: list[Result] = [row for setting in settings for row in bench.run(setting)]
    rest = {name: value for name, value in settings[0].to_dict().items() if name != "num_frames"}
    fingerprint = {**bench.engine.identity, **rest, "frame_counts": list(frame_counts)}
    calibrator, report = fit_calibrator(results, fingerprint=fingerprint)
    calibrator.save(path)
    head = (
        f"{bench.title}, {vreason.schedule}, weights {bench.engine.fingerprint}, {list(frame_counts)} frames together."
    )
    return "\n".join([head, f"Calibrator {calibrator.id} written to {path}.", "", *_tables(report)])


def _tables(report: CalibrationReport) -> list[str]:
    figures = {
        "accuracy": report.accuracy,
        "AUROC": report.auroc,
        "AURC": report.aurc,
        "AUGRC": report.augrc,
        "Brier": report.brier,
    }
    rows = [[name, number(estimate, with_interval=True)] for name, estimate in figures.items()]
    band = report.calibration_error
    rows.append(["ECE", f"{band.value:.3f}"])
    rows.append(["ECE of an exact probability: mean, 95th percentile", f"{band.null_mean:.3f}, {band.null_high:.3f}"])
    rows += [
        [f"AUROC of {name} alone", number(estimate, with_interval=True)]
        for name, estimate in report.signal_auroc.items()
    ]
    curve = [[f"{point.coverage:.0%}", number(point.risk, with_interval=True)] for point in report.curve]
    table = markdown_table(["figure", f"value (unread: {report.num_unread})"], rows)
    return [table, "", markdown_table(["answered", "wrong"], curve)]
