"""From a trace to a confidence record: raw signals, the record itself, stability between passes, and words for people.

Nothing here imports torch or knows a model; traces are read through a protocol.
"""

from vreason_agent.confidence.calibration import Calibrator, apply_calibrator, closest_calibrator
from vreason_agent.confidence.frame_statistics import FrameRange, frame_statistics
from vreason_agent.confidence.options import OPTION_SIGNALS, OptionProbabilities, option_shift, read_option_signals
from vreason_agent.confidence.probes import probe_gain, vote_share
from vreason_agent.confidence.ranking import check_ranking_signal, check_threshold_signal, ranking_key
from vreason_agent.confidence.record import Action, Confidence, confidence_of
from vreason_agent.confidence.risk import RiskMonitor, RiskThreshold
from vreason_agent.confidence.shipped import find_calibrators, shipped_calibrators
from vreason_agent.confidence.signals import SIGNAL_NAMES, read_signals, token_span
from vreason_agent.confidence.stability import largest_group, num_agreeing
from vreason_agent.confidence.wording import UNMEASURED, describe_confidence

__all__ = [
    "OPTION_SIGNALS",
    "SIGNAL_NAMES",
    "UNMEASURED",
    "Action",
    "Calibrator",
    "Confidence",
    "FrameRange",
    "OptionProbabilities",
    "RiskMonitor",
    "RiskThreshold",
    "apply_calibrator",
    "check_ranking_signal",
    "check_threshold_signal",
    "closest_calibrator",
    "confidence_of",
    "describe_confidence",
    "find_calibrators",
    "frame_statistics",
    "largest_group",
    "num_agreeing",
    "option_shift",
    "probe_gain",
    "ranking_key",
    "read_option_signals",
    "read_signals",
    "shipped_calibrators",
    "token_span",
    "vote_share",
]
