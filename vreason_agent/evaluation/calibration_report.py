"""A calibrator's figures as text for people, and as pictures.

This module knows no file of a run and no model.
"""

from __future__ import annotations

from pathlib import Path

from vreason_agent.confidence.calibration import Calibrator
from vreason_agent.evaluation.fitting import CalibrationReport, Figures
from vreason_agent.evaluation.metrics import Estimate
from vreason_agent.evaluation.report import markdown_table, number

HEADERS = ("AUROC", "AURC", "AUGRC", "Brier", "rejection cost", "ECE (null 95 %)")


def calibration_text(calibrator: Calibrator, report: CalibrationReport, path: Path) -> str:
    """Return the figures as Markdown, each with its 95 % interval."""
    counted = calibrator.fitted_on or {}
    lines = [
        f"Calibrator {calibrator.id} written to {path}: {calibrator.method}, fitted on {counted['num_questions']} "
        f"answers about {counted['num_videos']} videos, {counted['accuracy']:.1%} of them right.",
        f"{report.num_unread} answers could not be read: they get no probability and are not in these figures.",
        "Every figure is cross-validated by video; brackets are 95 % intervals.",
        "",
        markdown_table(["probability from", "n", *HEADERS], _rows(report)),
        "",
        markdown_table(
            ["answered", "wrong"],
            [[f"{point.coverage:.0%}", number(point.risk, with_interval=True)] for point in report.curve],
        ),
    ]
    return "\n".join(lines)


def save_plots(report: CalibrationReport, stem: Path) -> list[Path]:
    """Write the reliability diagram and the risk-coverage curve as PNG files beside `stem`; return their paths.

    Raises:
        DependencyError: matplotlib, the extra `plots`, is missing.
    """
    from vreason_agent.plots import image_bytes, plot_reliability, plot_risk_coverage

    scores, correct = list(report.probabilities), list(report.correct)
    figures = {
        "reliability": plot_reliability(scores, correct, title="Cross-validated by video"),
        "risk-coverage": plot_risk_coverage({"combined": (scores, correct)}, title="Most confident answers first"),
    }
    paths = {name: stem.with_name(f"{stem.stem}-{name}.png") for name in figures}
    for name, figure in figures.items():
        paths[name].write_bytes(image_bytes(figure, "png"))
    return list(paths.values())


def _rows(report: CalibrationReport) -> list[list[str]]:
    rows = [["all signals", *_cells(report.combined)]]
    rows += [
        [f"all signals, {count} frames ({share.value or 0:.1%} right)", *_cells(one)]
        for count, (share, one) in report.rungs.items()
    ]
    return rows + [[f"{name} alone", *_cells(one)] for name, one in report.signals.items()]


def _cells(figures: Figures) -> list[str]:
    estimates: list[Estimate] = [
        figures.auroc,
        figures.aurc,
        figures.augrc,
        figures.brier,
        figures.rejection_cost,
    ]
    band = figures.calibration_error
    ece = f"{band.value:.3f} ({band.null_high:.3f})" if band.value is not None else ""
    return [str(figures.auroc.n), *(number(one, with_interval=True) for one in estimates), ece]
