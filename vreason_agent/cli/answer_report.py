"""What `ask` prints at the end: one JSON object for programs, or text for people.

This module knows the result of the video question graph as plain data, and nothing of models or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.terminal import printable
from vreason_agent.confidence import OPTION_SIGNALS, SIGNAL_NAMES, Confidence, describe_confidence

if TYPE_CHECKING:
    from vreason_agent.video import VideoInfo

DECISIONS = {
    "accept": "accepted",
    "more_frames": "asked again with more frames",
    "retry": "asked again",
    "abstain": "abstained",
}
UNITS = {
    "slope": " nats per token",
    "num_increases": "",
    "perplexity": "",
    "num_tokens": "",
    "answer_probability": "",
    "joint_probability": "",
    **dict.fromkeys(OPTION_SIGNALS, ""),
    "entropy_drop": "",
}


def to_json(
    result: Mapping[str, Any], info: VideoInfo, model: Mapping[str, Any], seconds_spent: Mapping[str, float]
) -> dict[str, Any]:
    """Return the object that `ask --json` prints.

    Args:
        result: Output of the video question graph.
        info: What was asked about, as `probe` describes it.
        model: Name and settings of the model that answered.
        seconds_spent: Wall time of loading, and of the whole command with it.

    Returns:
        `answer` and `choice` (option letter), both null when abstained; `best_guess` holds them either way;
        `confidence` the record; `decision` the last, with its reason and numbers; `attempts` every complete answer,
        each with the decision it led to, `num_frames` counting the frames that were asked for, `timestamps_seconds` the
        true times of those that differ, `plan` and `sampling` where they are and why, and `vision` what its pictures
        cost (sides of a frame in px, tokens per temporal pair and in all); `frames` the times in seconds that the
        answer rests on; `video` the facts of `probe`, its `note` saying what is odd about the file; `model` what
        answered, its budgets of pixels and tokens under `video` and `image`; `usage` of all attempts together,
        `frames_seen` counting the different frames and `frames_shown` a frame in every attempt that shows it,
        `vision_tokens` being those of `input_tokens` that are pictures (null where the chat model does not tell);
        `loading_seconds` and `seconds`; `warnings` what could not be done as asked; `error` null (a failed command
        prints `answer` and `error` alone).
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
        "usage": sum_usage(result["attempts"]),
        **{name: round(seconds, 3) for name, seconds in seconds_spent.items()},
        "warnings": result["warnings"],
        "error": None,
    }


def sum_usage(attempts: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    """Return what all attempts together used."""
    tokens = {f"{kind}_tokens": sum(attempt["tokens"][kind] for attempt in attempts) for kind in ("input", "output")}
    frames = {
        "frames_seen": len({second for attempt in attempts for second in attempt["timestamps_seconds"]}),
        "frames_shown": sum(attempt["num_frames"] for attempt in attempts),
    }
    return {"attempts": len(attempts), **frames, **tokens, "vision_tokens": sum_vision_tokens(attempts)}


def sum_vision_tokens(attempts: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the tokens of all pictures, or `None` if an attempt does not say."""
    pictures = [attempt.get("vision") for attempt in attempts]
    return None if None in pictures else sum(use["num_tokens"] for uses in pictures for use in uses or ())


def to_text(report: Mapping[str, Any], *, verbose: bool = True) -> str:
    """Return the object of `to_json` as text for a person; `verbose` adds the raw signals and the times of frames."""
    confidence = Confidence.from_dict(report["confidence"])
    used, attempts = report["usage"], report["attempts"]
    lines = [format_headline(report), "", "Confidence"]
    lines += [f"  {sentence}" for sentence in describe_confidence(confidence)]
    if verbose:
        lines += [f"  {format_signals(confidence)}", "", f"Frames ({len(report['frames'])})"]
        lines += [f"  {format_times(report['frames'])}"]
    lines += [f"  Note: {report['video']['note']}"] if report["video"]["note"] else []
    lines += [f"  Warning: {warning}" for warning in report["warnings"]]
    lines += ["", "Attempts", *(f"  {format_attempt(attempt)}" for attempt in attempts), "", "Cost"]
    pictures = "" if used["vision_tokens"] is None else f" ({used['vision_tokens']} for pictures)"
    tokens = f"{used['input_tokens']} input tokens{pictures}, {used['output_tokens']} output tokens"
    time = f"{report['seconds']:.1f} s ({report['loading_seconds']:.1f} s to load)"
    frames = f"{used['frames_seen']} different frames, shown {used['frames_shown']} times"
    lines.append(f"  {frames}, {tokens}, {time}")
    return "\n".join(lines)


def format_headline(report: Mapping[str, Any]) -> str:
    """Return the line with the answer, or with the best guess, marked as such."""
    if report["answer"] is not None:
        return f"Answer: {format_answer(report['answer'], report['choice'])}"
    guess = report["best_guess"]
    if guess["answer"] is None:
        return "No answer: the model abstained, and no answer could be read from any attempt."
    return f"No answer: the model abstained. Best guess: {format_answer(guess['answer'], guess['choice'])}"


def format_answer(answer: str, choice: str | None) -> str:
    """Return an answer with its option letter, unless the answer is that letter."""
    shown = " ".join(printable(answer).split())
    return shown if choice in (None, answer) else f"{shown} (option {choice})"


def format_signals(confidence: Confidence) -> str:
    """Return the measured raw signals in one line."""
    values = [(name, confidence.signal(name)) for name in SIGNAL_NAMES]
    measured = [f"{name} {value:.4g}{UNITS.get(name, ' nats')}" for name, value in values if value is not None]
    return f"Raw signals: {', '.join(measured)}." if measured else "Raw signals: none were measured."


def format_times(timestamps_seconds: Sequence[float]) -> str:
    """Return the times of frames in one line."""
    return " ".join(f"{time:.2f}" for time in timestamps_seconds) + " s" if timestamps_seconds else "none"


def count_frames(attempt: Mapping[str, Any]) -> str:
    """Return how many frames an attempt used, and how many different ones if the video has too few."""
    asked, different = attempt["num_frames"], len(attempt["timestamps_seconds"])
    frames = f"{asked} frame{'s' * (asked != 1)}"
    return frames if different >= asked else f"{frames} ({different} different)"


def format_attempt(attempt: Mapping[str, Any]) -> str:
    """Return what one attempt answered, what was decided after it, and why."""
    answer = "no readable answer" if attempt["answer"] is None else repr(attempt["answer"])
    line = f"{attempt['attempt'] + 1}. {count_frames(attempt)}: {answer} ({attempt['seconds']:.1f} s)"
    decision = attempt["decision"]
    return line if decision is None else f"{line}; {DECISIONS[decision['action']]}: {decision['reason']}"
