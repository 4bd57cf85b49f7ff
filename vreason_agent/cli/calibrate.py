"""`vreason-agent calibrate RUN...`: fit a calibrator on the labelled answers of runs, and report how good it is.

This module reads runs, writes the calibrator and its report, and knows no model.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.parser import UsageError, name, share
from vreason_agent.errors import ConfigError, EvaluationError, quote

if TYPE_CHECKING:
    from vreason_agent.confidence import Calibrator
    from vreason_agent.evaluation import CalibrationReport, Result

METHODS = ("logistic", "platt", "isotonic")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "calibrate",
        help="fit the probability of being right on labelled answers",
        description="Fit P(correct) from the signals of labelled runs (vreason-agent eval) and report it, "
        "cross-validated by video. All runs must have one setup, but for the number of frames. Writes FILE, and beside "
        "it FILE-reliability.png and FILE-risk-coverage.png (extra plots). Needs the extra calibration.",
        epilog="Use it: ChatVReason(calibrator=FILE), or vreason-agent decide --calibrator FILE. Under another model, "
        "prompt, frames or decoding it gives no probability and names what differs.",
    )
    add = parser.add_argument
    add("runs", nargs="+", type=name, metavar="RUN", help="folder of an eval run, or its rows.jsonl")
    add("--out", type=Path, required=True, metavar="FILE", help="JSON file to write")
    add("--method", choices=METHODS, default="logistic", help="platt and isotonic map one signal (default: logistic)")
    add(
        "--signal",
        action="append",
        type=name,
        metavar="S",
        help="a signal to use; repeatable (default: six signals of one pass)",
    )
    add("--per-rung", action="store_true", help="one map per number of frames, not one that takes it as a signal")
    add("--max-risk", type=share, metavar="R", help="hold half of the videos out, and bound the ladder's wrong answers")
    add("--confidence", type=share, default=0.9, metavar="C", help="of that bound (default: 0.9)")
    add("--no-plots", action="store_true", help="write no pictures")
    add("--json", action="store_true", help="print the report as one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fit, write and report."""
    from vreason_agent.evaluation import common_setup, fit_calibrator
    from vreason_agent.evaluation.calibration_report import calibration_text, save_plots

    if arguments.method != "logistic" and len(arguments.signal or []) != 1:
        msg = f"--method {arguments.method} maps one signal; name it, such as --signal joint_probability"
        raise UsageError(msg)
    results = _read(arguments.runs)
    chosen = {"signals": arguments.signal} if arguments.signal else {}
    calibrator, report = fit_calibrator(
        results,
        fingerprint=common_setup(results),
        method=arguments.method,
        per_rung=arguments.per_rung,
        held_out=0.0 if arguments.max_risk is None else 0.5,
        **chosen,
    )
    _save(calibrator, arguments.out)
    pictures = [] if arguments.no_plots else save_plots(report, arguments.out)
    bound = _bound(calibrator, arguments)
    if arguments.json:
        print(json.dumps(_to_json(calibrator, report, bound, pictures)))
        return 0
    lines = [calibration_text(calibrator, report, arguments.out), ""]
    lines += [bound["sentence"], ""] if bound else []
    print("\n".join([*lines, *(f"Picture: {path}" for path in pictures)]).rstrip())
    return 0


def _read(paths: list[str]) -> list[Result]:
    from vreason_agent.evaluation import read_runs

    return [result for path in paths for one in read_runs(path) for result in one.results]


def _save(calibrator: Calibrator, path: Path) -> None:
    try:
        calibrator.save(path)
    except OSError as exc:
        msg = f"--out {quote(str(path))} cannot be written ({exc.strerror}); name a file in a folder that exists"
        raise EvaluationError(msg) from exc


def _bound(calibrator: Calibrator, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Return what the held-out answers support of the bound that was asked for."""
    if arguments.max_risk is None:
        return None
    try:
        found = calibrator.threshold(max_risk=arguments.max_risk, confidence=arguments.confidence)
    except ConfigError as exc:
        raise EvaluationError(str(exc)) from exc
    return {**vars(found), "sentence": str(found)}


def _to_json(
    calibrator: Calibrator, report: CalibrationReport, bound: dict[str, Any] | None, pictures: list[Path]
) -> dict[str, Any]:
    return {
        "calibrator": calibrator.id,
        "fitted_on": calibrator.fitted_on,
        "fingerprint": calibrator.fingerprint,
        "report": report.to_dict(),
        "bound": bound,
        "pictures": [str(path) for path in pictures],
        "error": None,
    }
