"""From a trace to a confidence record: raw signals, the record itself, stability between passes, and words for people.

Nothing here imports torch or knows a model; traces are read through a protocol.
"""

from vreason_agent.confidence.calibration import Calibrator, apply_calibrator
from vreason_agent.confidence.ranking import check_ranking_signal, check_threshold_signal, ranking_key
from vreason_agent.confidence.record import Action, Confidence, confidence_of
from vreason_agent.confidence.signals import SIGNAL_NAMES, read_signals, token_span
from vreason_agent.confidence.stability import largest_group, num_agreeing
from vreason_agent.confidence.wording import describe_confidence

__all__ = [
    "SIGNAL_NAMES",
    "Action",
    "Calibrator",
    "Confidence",
    "apply_calibrator",
    "check_ranking_signal",
    "check_threshold_signal",
    "confidence_of",
    "describe_confidence",
    "largest_group",
    "num_agreeing",
    "ranking_key",
    "read_signals",
    "token_span",
]
