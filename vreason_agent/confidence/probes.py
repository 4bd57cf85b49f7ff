"""Signals from more work than one pass: votes of samples, and answers to the same question with other evidence.

`vreason_agent.evidence_probes` asks; here is what the answers say. This module knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from vreason_agent.answers import same_answer
from vreason_agent.confidence.record import Confidence
from vreason_agent.confidence.stability import largest_group

_FLOOR = 1e-12


def vote_share(answers: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the share of sampled answers that are the most frequent one, in (0, 1]; `None` of none that was read.

    Self-consistency (X. Wang et al., arXiv 2203.11171). Cost: one generation per further sample.

    Args:
        answers: Each as `text` and `choice`; those that could not be read count in the denominator.
    """
    group = largest_group(answers)
    return len(group) / len(answers) if group else None


def probe_gain(confidence: Confidence, probe: Confidence) -> float | None:
    """Return what the evidence adds to the answer: its log-probability with it minus that without it, nats.

    Both among the options, where each answer stands. Near 0 or below: the model would have said so anyway, and the
    answer does not rest on the video. The contrast is that of VAUQ (arXiv 2602.21054) on probabilities of options.

    Args:
        confidence: Record of the answer.
        probe: Record of the same question with no video, another one, or degraded frames.

    Returns:
        `None` where the answer is no option or either distribution was not measured.
    """
    known, other = ((one.options or {}).get("after") for one in (confidence, probe))
    if known is None or other is None:
        return None
    named = next((name for name in known if same_answer({"text": name}, {"text": confidence.answer.get("text")})), None)
    if named is None or named not in other:
        return None
    return log(max(known[named], _FLOOR)) - log(max(other[named], _FLOOR))
