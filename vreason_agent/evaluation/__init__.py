"""Datasets, scoring, intervals, resumable runs and their reports.

What is imported here takes callables and knows no model; `evaluation.adapter` makes a loaded model such a callable.
"""

from __future__ import annotations

from vreason_agent.evaluation.answer import Answer, hash_tokens
from vreason_agent.evaluation.benchmark_files import BENCHMARKS, load_benchmark
from vreason_agent.evaluation.dataset import Question, load_questions, write_questions
from vreason_agent.evaluation.fitting import CalibrationReport, Figures, common_setup, fit_calibrator
from vreason_agent.evaluation.metrics import (
    Estimate,
    accuracy,
    auroc,
    bootstrap_difference,
    mean,
)
from vreason_agent.evaluation.reliability import (
    augrc,
    aurc,
    brier,
    calibration_error,
    rejection_cost,
    risk_coverage,
)
from vreason_agent.evaluation.risk_control import certify_threshold, ladder_gates
from vreason_agent.evaluation.runner import AnswerBatch, Result, Run, read_runs, run
from vreason_agent.evaluation.scoring import Score, score

__all__ = [
    "BENCHMARKS",
    "Answer",
    "AnswerBatch",
    "CalibrationReport",
    "Estimate",
    "Figures",
    "Question",
    "Result",
    "Run",
    "Score",
    "accuracy",
    "augrc",
    "aurc",
    "auroc",
    "bootstrap_difference",
    "brier",
    "calibration_error",
    "certify_threshold",
    "common_setup",
    "fit_calibrator",
    "hash_tokens",
    "ladder_gates",
    "load_benchmark",
    "load_questions",
    "mean",
    "read_runs",
    "rejection_cost",
    "risk_coverage",
    "run",
    "score",
    "write_questions",
]
