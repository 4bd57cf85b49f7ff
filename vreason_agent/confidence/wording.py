"""The confidence record in sentences for people.

Without a calibrator no sentence contains a percentage or says "probably"; what was not measured is said to be so. This
module knows no terminal and no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vreason_agent.confidence.record import Confidence
from vreason_agent.confidence.stability import num_agreeing

_WARNINGS = {
    "no_confidence": (
        "Nothing was measured: the chat model's message holds neither a confidence record nor token log-probabilities "
        "(most servers send them when asked with logprobs=True, top_logprobs=20)."
    ),
    "unread_logprobs": "Nothing was measured: the log-probabilities on the message have a form that is not supported.",
    "from_logprobs": "Measured on the likeliest tokens that the server listed: the true entropies are higher.",
    "truncated": "The output was cut off at the token limit, so its signals describe an unfinished answer.",
    "unparsed": "No answer could be read from the model's output.",
    "answer_not_located": "The answer's tokens could not be located, so no answer probability is given.",
    "steered": "V-Reason steers the entropy itself, so a low entropy says less than it would otherwise.",
    "unusual_frames": (
        "These frames look unlike those of the labelled questions, so no share of right answers is stated."
    ),
    "toy_model": "The bundled model was trained on moving shapes only; its answers about real footage mean nothing.",
}
UNMEASURED = ("no_confidence", "unread_logprobs")
"""Warnings of a message of which nothing was measured."""


def describe_confidence(confidence: Confidence) -> list[str]:
    """Return the record as sentences: first how settled the answer is, then what that rests on.

    Args:
        confidence: Record of one answer.

    Returns:
        Two sentences or more, each ending in a full stop.
    """
    sentences = [_headline(confidence), *_entropy(confidence), *_stability(confidence)]
    sentences += _calibration(confidence)
    return [*sentences, *(_WARNINGS.get(code, code) for code in confidence.warnings)]


def _headline(confidence: Confidence) -> str:
    action = confidence.decision.get("action")
    if confidence.calibrated and confidence.probability is not None and "unusual_frames" not in confidence.warnings:
        return f"{_share(confidence.probability)} of such answers are right."
    if confidence.answer.get("text") is None:
        return "The model gave no answer that could be read."
    if action == "abstain":
        return "The model did not settle on an answer; this is its best guess."
    if action == "accept" and not confidence.decision.get("settled", True):
        return "The model did not settle on an answer; its best guess was taken, because abstaining was ruled out."
    if action == "accept" and (num_same := num_agreeing(_answers(confidence))) > 1:
        rungs = confidence.evidence["rungs"][-num_same:]
        if len({rung.get("num_frames") for rung in rungs}) == 1:
            return "The model settled on this answer, and gave it again when asked once more about the same frames."
        return "The model settled on this answer, and gave it again when shown more frames."
    if action == "accept":
        return "The model settled on this answer in one attempt, so whether more frames would change it is not known."
    return "This is the model's answer from one attempt; no policy has judged it."


def _share(probability: float) -> str:
    """Return a probability in words that claim no certainty."""
    if 0.01 <= probability <= 0.99:
        return f"About {probability:.0%}"
    return "More than 99%" if probability > 0.5 else "Fewer than 1%"


def _calibration(confidence: Confidence) -> list[str]:
    if "unusual_frames" in confidence.warnings:
        return []
    if confidence.probability is not None:
        num_questions = ((confidence.calibration or {}).get("fitted_on") or {}).get("num_questions")
        return [f"That share comes from {num_questions} labelled questions of the same setup."] if num_questions else []
    if confidence.calibration is None:
        return ["No calibrator is loaded, so no probability of being correct is given."]
    if differences := confidence.calibration.get("differences"):
        listed = "; ".join(differences)
        return [f"The calibrator was fitted on another setup, so no probability of being correct is given ({listed})."]
    return ["A signal that the calibrator needs was not measured, so no probability of being correct is given."]


def _entropy(confidence: Confidence) -> list[str]:
    if any(code in confidence.warnings for code in UNMEASURED):
        return []
    peak, final, drop = (confidence.signal(name) for name in ("peak_entropy", "final_entropy", "entropy_drop"))
    if peak is None or final is None or drop is None:
        return ["Whether the entropy fell toward the answer was not measured."]
    if drop == 0:
        return [f"The entropy was still at its peak, {peak:.2f} nats, when the answer ended."]
    path = f"from a peak of {peak:.2f} to {final:.2f} nats in the final phase"
    if drop < 0:
        return [f"The entropy did not fall while the model reasoned: it went {path}."]
    return [f"The entropy fell while the model reasoned, {path} (by {drop:.2f} of the peak)."]


def _stability(confidence: Confidence) -> list[str]:
    rungs = confidence.evidence.get("rungs") or []
    if len(rungs) < 2:
        return []
    seen = ", ".join(f"{_name(rung)} ({_count_frames(rung)})" for rung in rungs)
    same = num_agreeing(_answers(confidence)) == len(rungs)
    return [f"Every attempt gave the same answer: {seen}." if same else f"The answer changed between attempts: {seen}."]


def _answers(confidence: Confidence) -> list[Mapping[str, Any]]:
    rungs = confidence.evidence.get("rungs") or []
    return [{"text": rung.get("answer"), "choice": rung.get("choice")} for rung in rungs]


def _count_frames(rung: Mapping[str, Any]) -> str:
    count = rung.get("num_frames")
    return "1 frame" if count == 1 else f"{count} frames"


def _name(rung: Mapping[str, Any]) -> str:
    return "no answer" if rung.get("answer") is None else f"{rung['answer']!r}"
