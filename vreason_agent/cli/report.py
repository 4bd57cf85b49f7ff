"""What `ask` prints at the end: one JSON object for programs, or text for people.

This module knows the result of the video question graph as plain data, and nothing of models or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.terminal import printable
from vreason_agent.confidence import SIGNAL_NAMES, Confidence, describe_confidence

if TYPE_CHECKING:
    from vreason_agent.video import VideoInfo

DECISIONS = {
    "accept": "accepted",
    "more_frames": "looked at more frames",
    "retry": "tried again",
    "abstain": "abstained",
}
UNITS = {
    "slope": " nats per token",
    "num_increases": "",
    "perplexity": "",
    "num_tokens": "",
    "answer_probability": "",
    "entropy_drop": "",
}


def to_json(result: Mapping[str, Any], info: VideoInfo, model: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return the object that `ask --json` prints.

    Args:
        result: Output of the video question graph.
        info: What was asked about, as `probe` describes it.
        model: Name and settings of the model that answered.
        seconds: Wall time of the whole command, loading included.

    Returns:
        `answer` and `choice` (option letter), both null when abstained; `best_guess` then holds them instead;
        `confidence` the record; `decision` the last, with its reason and numbers; `attempts` every complete answer,
        each with the decision it led to, `num_frames` counting the frames that were asked for, `timestamps_seconds` the
        true times of those that differ, `plan` and `sampling` where they are and why, and `vision` what its pictures
        cost (sides of a frame in px, tokens per temporal pair and in all); `frames` the times in seconds that the
        answer rests on; `video` the facts of `probe`, its `note` saying what is odd about the file; `model` what
        answered, its budgets of pixels and tokens under `video` and `image`; `usage` of all attempts together,
        `vision_tokens` being those of `input_tokens` that are pictures (null where the chat model does not tell);
        `seconds`.
    """
    decisions = {decision["attempt"]: decision for decision in result["decisions"]}
    return {
        "answer": result["answer"],
        "choice": result["choice"],
        "best_guess": result["best_guess"],
        "confidence": result["confidence"],
        "decision": result["decision"],
        "attempts": [{**attempt, "decision": decisions.get(attempt["attempt"])} for attempt in result["attempts"]],
        "frames": result["frames"],
        "video": info.to_dict(),
        "model": dict(model),
        "usage": usage(result["attempts"]),
        "seconds": round(seconds, 3),
    }


def usage(attempts: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    """Return what all attempts together used."""
    tokens = {f"{kind}_tokens": sum(attempt["tokens"][kind] for attempt in attempts) for kind in ("input", "output")}
    frames = sum(attempt["num_frames"] for attempt in attempts)
    return {"attempts": len(attempts), "frames": frames, **tokens, "vision_tokens": vision_tokens(attempts)}


def vision_tokens(attempts: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the tokens of all pictures, or `None` where an attempt does not tell."""
    told = [attempt.get("vision") for attempt in attempts]
    return None if None in told else sum(use["num_tokens"] for uses in told for use in uses or ())


def to_text(report: Mapping[str, Any]) -> str:
    """Word the object of `to_json` for a person."""
    confidence = Confidence.from_dict(report["confidence"])
    used, attempts = report["usage"], report["attempts"]
    lines = [headline(report), "", "Confidence"]
    lines += [f"  {sentence}" for sentence in describe_confidence(confidence)]
    lines += [f"  {signals(confidence)}", "", f"Frames ({len(report['frames'])})", f"  {times(report['frames'])}"]
    lines += [f"  Note: {report['video']['note']}"] if report["video"]["note"] else []
    lines += ["", "Tried", *(f"  {attempt_line(attempt)}" for attempt in attempts), "", "Spent"]
    answers = f"{used['attempts']} answer{'s' * (used['attempts'] != 1)}"
    pictures = "" if used["vision_tokens"] is None else f" ({used['vision_tokens']} of them pictures)"
    tokens = f"{used['input_tokens']} tokens read{pictures}, {used['output_tokens']} written"
    lines.append(f"  {answers}, {used['frames']} frames, {tokens}, {report['seconds']:.1f} s")
    return "\n".join(lines)


def headline(report: Mapping[str, Any]) -> str:
    """Return the line with the answer, or with the best guess, marked as such."""
    if report["answer"] is not None:
        return f"Answer: {named(report['answer'], report['choice'])}"
    guess = report["best_guess"] or {}
    if guess.get("answer") is None:
        return "No answer: the model abstained, and none of its attempts held an answer that could be read."
    return f"No answer: the model abstained. Best guess: {named(guess['answer'], guess.get('choice'))}"


def named(answer: str, choice: str | None) -> str:
    """Return an answer with its option letter, if it has one that it does not consist of."""
    shown = " ".join(printable(answer).split())
    return shown if choice in (None, answer) else f"{shown} (option {choice})"


def signals(confidence: Confidence) -> str:
    """Return the raw signals in one line, under their names; what was not measured is left out."""
    values = [(name, confidence.signal(name)) for name in SIGNAL_NAMES]
    measured = [f"{name} {value:.4g}{UNITS.get(name, ' nats')}" for name, value in values if value is not None]
    return f"Raw signals: {', '.join(measured)}." if measured else "Raw signals: none were measured."


def times(timestamps_seconds: Sequence[float]) -> str:
    """Return times of frames in one line."""
    return " ".join(f"{time:.2f}" for time in timestamps_seconds) + " s" if timestamps_seconds else "none"


def frames_of(attempt: Mapping[str, Any]) -> str:
    """Return how many frames an attempt looked at, and how many of them differ where the video has too few."""
    asked, different = attempt["num_frames"], len(attempt["timestamps_seconds"])
    return f"{asked} frames" if different >= asked else f"{asked} frames ({different} different ones)"


def attempt_line(attempt: Mapping[str, Any]) -> str:
    """Return what one attempt answered, what was decided after it, and why."""
    said = "no readable answer" if attempt["answer"] is None else repr(attempt["answer"])
    line = f"{attempt['attempt'] + 1}. {frames_of(attempt)}: {said} ({attempt['seconds']:.1f} s)"
    decision = attempt["decision"]
    return line if decision is None else f"{line}; {DECISIONS[decision['action']]}: {decision['reason']}"
