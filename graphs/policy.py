"""The judgment after an attempt: accept, look at more frames, ask again, or abstain; every time with its numbers.

Where an attempt has a calibrated probability of being correct, that decides: entropy is among what it was fitted on.
Without one the trigger is V-Reason's reading of a trace: a model that has settled shows a final phase whose entropy
falls well below its peak. Because one pass does not know what it has not seen, a second attempt must give the same
answer. Of a server that tells no log-probabilities agreement is all there is: two attempts at least must give the same
answer. This module knows no graph and no model: it reads attempts and returns a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from numbers import Integral
from typing import Any, Literal, NamedTuple

from ..confidence import UNMEASURED, largest_group, num_agreeing
from ..errors import ConfigError, is_utf8, quote
from .budget import Budget, check_flag, expected_cost, is_number
from .state import Attempt, Decision, Spent

RETRIES: Mapping[str, Mapping[str, Any]] = {
    "other_frames": {"frames": "other"},
    "zoom": {"frames": "zoom"},
    "new_seed": {"temperature": 0.7, "seed": 1},
}
"""Named strategies of a retry: as many frames halfway between the old ones; the same spread at half the density with
the other half where the last answer points; the same frames, sampled with another seed."""

VARIATIONS: tuple[str | Mapping[str, Any], ...] = ("other_frames", "zoom")

ENTROPY_STAYED_UP = "entropy had not come down when the answer ended"
_NUMBER_WORDS = {2: "two", 3: "three", 4: "four", 5: "five"}


class Step(NamedTuple):
    """What may follow an attempt: the frames it shows, and how many of them no attempt saw before."""

    action: Literal["more_frames", "retry"]
    num_frames: int
    num_new_frames: int


@dataclass(frozen=True)
class Ladder:
    """The frame counts that are tried: `num_frames`, doubled until `max_frames`.

    Attributes:
        num_frames: Frames of the first rung: even, because a temporal pair is the unit. More see more and cost more.
        max_frames: Frames of the last rung; equal to `num_frames` means a single rung.

    Raises:
        ConfigError: If `num_frames` is odd or below 2, or doubling it never gives `max_frames`.
    """

    num_frames: int = 4
    max_frames: int = 32

    def __post_init__(self) -> None:
        if not is_whole(self.num_frames) or self.num_frames < 2 or self.num_frames % 2:
            given = f"num_frames={quote(self.num_frames)}"
            msg = f"{given} is not an even number of at least 2; the model reads frames in pairs, so use e.g. 4"
            raise ConfigError(msg)
        if not is_whole(self.max_frames) or self.max_frames not in self.rungs():
            allowed = ", ".join(str(self.num_frames << step) for step in range(5))
            given = f"max_frames={quote(self.max_frames)}"
            msg = f"{given} is not num_frames={self.num_frames} times a power of two; use one of {allowed}"
            raise ConfigError(msg)

    def rungs(self) -> tuple[int, ...]:
        """Return the frame counts from the first rung to the last."""
        counts = [int(self.num_frames)]
        while counts[-1] * 2 <= self.max_frames:
            counts.append(counts[-1] * 2)
        return tuple(counts)


@dataclass(frozen=True)
class AcceptPolicy:
    """When an answer is good enough, and what is tried while it is not.

    Attributes:
        min_entropy_drop: Least share of its peak by which entropy must have fallen at the end (the signal
            `entropy_drop`), at most 1. Higher asks for more frames more often; `None` leaves it out.
        min_answer_probability: Least probability of the answer's own tokens (the signal `answer_probability`), in
            [0, 1]. Higher asks for more frames more often; `None` leaves it out.
        min_agreeing: How many of the latest attempts in a row must give the same answer before it is accepted; 1
            accepts the first. Where the ladder has one rung and no retry, or the budget one attempt, 1 is used.
        max_retries: Further attempts at the last rung, each with the next of `variations`.
        variations: What differs in the retries, in turn: the name of a strategy in `RETRIES` (`"other_frames"`,
            `"zoom"`, `"new_seed"`), or keyword arguments of the chat model, with `frames` (`"other"` or `"zoom"`: which
            frames are looked at) and `prompt`, a text that is put before the question, e.g. `{"prompt": "Look again at
            the very beginning and end.", "seed": 1}`.
        min_probability: Least calibrated probability of being correct, in [0, 1]. An attempt that has one is accepted
            at this value and asked for nothing of the above; higher asks for more frames more often. A later attempt
            without one, such as a sampled retry, is not accepted. `None`: the rules above apply to all.
        min_rise: Least change of that probability from one rung to the next, in [-1, 1]; where it changed by less, more
            frames are not expected to help, and no attempt follows. `None` goes on to the last rung.
        max_risk: Bound on the share of wrong answers among those given, in (0, 1): the calibrator's threshold for it is
            used in place of `min_probability`. Without a threshold nothing is accepted. No retry follows the last rung:
            the bound was certified for one attempt per rung.
        abstain: Whether an answer that is never good enough is withheld; it is kept as the best guess either way.
        check: Your own condition: takes all attempts so far, returns what is wrong as text, or `None`.

    Raises:
        ConfigError: If a field is out of its range or of another type; from `judge`, if `check` returns no text.
    """

    min_entropy_drop: float | None = 0.7
    min_answer_probability: float | None = None
    min_agreeing: int = 2
    max_retries: int = 1
    variations: tuple[str | Mapping[str, Any], ...] = VARIATIONS
    min_probability: float | None = 0.83
    min_rise: float | None = None
    max_risk: float | None = None
    abstain: bool = True
    check: Callable[[Sequence[Attempt]], str | None] | None = None

    def __post_init__(self) -> None:
        self._check_signals()
        self._check_counts()
        self._check_variations()
        check_flag("abstain", self.abstain)
        check: Any = self.check
        if check is not None and not callable(check):
            msg = f"check={quote(check)}: give a function of the attempts that returns what is wrong as text, or None"
            raise ConfigError(msg)

    def _check_signals(self) -> None:
        if self.min_entropy_drop is not None and not (is_number(self.min_entropy_drop) and self.min_entropy_drop <= 1):
            msg = f"min_entropy_drop={quote(self.min_entropy_drop)}: a drop is at most 1; use a value such as 0.7"
            raise ConfigError(msg)
        for name in ("min_answer_probability", "min_probability"):
            if (value := getattr(self, name)) is not None and not (is_number(value) and 0 <= value <= 1):
                raise ConfigError(f"{name}={quote(value)}: use a value from 0 to 1, such as 0.9")
        if self.min_rise is not None and not (is_number(self.min_rise) and -1 <= self.min_rise <= 1):
            raise ConfigError(f"min_rise={quote(self.min_rise)}: use a value from -1 to 1, such as 0.02")
        if self.max_risk is not None and not (is_number(self.max_risk) and 0 < self.max_risk < 1):
            raise ConfigError(f"max_risk={quote(self.max_risk)}: use a share between 0 and 1, such as 0.05")

    def _check_counts(self) -> None:
        for name, least in (("min_agreeing", 1), ("max_retries", 0)):
            if not is_whole(value := getattr(self, name)) or value < least:
                msg = f"{name}={quote(value)}: use a whole number of at least {least}"
                raise ConfigError(msg)

    def _check_variations(self) -> None:
        if not are_variations(self.variations):
            given = f"variations={quote(self.variations)}: each must change something, or the retry repeats itself"
            msg = f"{given}; use e.g. ('other_frames', {{'prompt': 'Look again.'}})"
            raise ConfigError(msg)
        if self.max_retries > len(self.variations):
            given = f"max_retries={quote(self.max_retries)}"
            msg = f"{given}, and there are {len(self.variations)} variations; add some to `variations`"
            raise ConfigError(msg)

    def judge(self, attempts: Sequence[Attempt], *, rungs: Sequence[int], budget: Budget, spent: Spent) -> Decision:
        """Decide what follows the last attempt.

        Args:
            attempts: All attempts so far, at least one.
            rungs: Frame counts of the ladder.
            budget: What may be spent.
            spent: What has been spent.

        Returns:
            The action, a reason with its numbers in a sentence, and the numbers by name.
        """
        last = attempts[-1]
        numbers = self._numbers(attempts, rungs, budget)
        concerns = [*rejection_reasons(last["answer"], numbers), *self._run_check(attempts)]
        if not concerns:
            return _make_decision(last, "accept", acceptance_reason(numbers), numbers, quotes=last, settled=True)
        step = self._next_step(attempts, rungs)
        if step is None:
            ending = "; ".join([*concerns, self._nothing_left(attempts, rungs)])
            return self._give_up(last, attempts, ending, numbers)
        obstacle = budget.find_excess(spent, expected_cost(attempts, step.num_frames, step.num_new_frames))
        if obstacle is None:
            return _make_decision(last, step.action, "; ".join(concerns), numbers, quotes=best_attempt(attempts))
        return {**self._give_up(last, attempts, "; ".join([*concerns, obstacle]), numbers), "wanted": step.action}

    def variation(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        """Return what differs in the next retry; of an image, which has no other frames, the seed."""
        variation = resolve_variation(self.variations[_num_retries(attempts)])
        is_image = attempts[-1].get("plan", "unknown") is None
        return dict(RETRIES["new_seed"]) if is_image and "frames" in variation else variation

    def _nothing_left(self, attempts: Sequence[Attempt], rungs: Sequence[int]) -> str:
        if (change := self._missing_rise(attempts)) is not None:
            return f"more frames are not expected to help: {change}"
        retries, frames = _num_retries(attempts), rungs[-1]
        counts = f"{frames} frame{'s' * (frames != 1)} and {retries} retr{'y' if retries == 1 else 'ies'}"
        return f"no attempt is left after {counts}"

    def _numbers(self, attempts: Sequence[Attempt], rungs: Sequence[int], budget: Budget) -> dict[str, Any]:
        signals = attempts[-1]["confidence"].get("signals", {})
        warnings = attempts[-1]["confidence"].get("warnings", ())
        can_compare = (len(rungs) > 1 or self.max_retries > 0) and budget.max_attempts != 1
        only_agreement = bool(can_compare and not set(UNMEASURED).isdisjoint(warnings))
        return {
            "probability": _probability(attempts[-1]),
            "min_probability": self._least_probability(attempts),
            "max_risk": _as_float(self.max_risk),
            "entropy_drop": signals.get("entropy_drop"),
            "final_entropy": signals.get("final_entropy"),
            "answer_probability": signals.get("answer_probability"),
            "min_entropy_drop": _as_float(self.min_entropy_drop),
            "min_answer_probability": _as_float(self.min_answer_probability),
            "num_agreeing": num_agreeing([_answer(attempt) for attempt in attempts]),
            "min_agreeing": max(int(self.min_agreeing), 1 + only_agreement) if can_compare else 1,
            "only_agreement": only_agreement,
            "num_frames": attempts[-1]["num_frames"],
        }

    def _run_check(self, attempts: Sequence[Attempt]) -> list[str]:
        concern: Any = self.check(attempts) if self.check else None
        if concern is None or isinstance(concern, str):
            return [concern] if concern else []
        msg = f"check returned {quote(concern)}: return what is wrong as text, or None where nothing is"
        raise ConfigError(msg)

    def _least_probability(self, attempts: Sequence[Attempt]) -> float | None:
        """Return the probability that is asked for; `None` where the rules of entropy and agreement apply.

        Where an earlier attempt had one, they do not: a retry that no calibrator fits is not judged by less.
        """
        if self.max_risk is not None:
            return find_threshold(attempts[-1], self.max_risk)
        is_known = any(_probability(attempt) is not None for attempt in attempts)
        return _as_float(self.min_probability) if is_known else None

    def _missing_rise(self, attempts: Sequence[Attempt]) -> str | None:
        """Return how the probability changed from the rung before where it did not rise as it should, in words."""
        if self.min_rise is None or len(attempts) < 2 or attempts[-1]["variation"]:
            return None
        before, now = _probability(attempts[-2]), _probability(attempts[-1])
        if before is None or now is None or now - before >= self.min_rise:
            return None
        return f"the probability of being right went from {_percent(before)} to {_percent(now)}"

    def _next_step(self, attempts: Sequence[Attempt], rungs: Sequence[int]) -> Step | None:
        last = attempts[-1]
        if self._missing_rise(attempts) is not None:
            return None
        if last["rung"] + 1 < len(rungs):
            num_frames = rungs[last["rung"] + 1]
            return Step("more_frames", num_frames, num_frames - rungs[last["rung"]])
        if self.max_risk is None and _num_retries(attempts) < self.max_retries:
            num_frames = last["num_frames"]
            share = {"other": 1.0, "zoom": 0.5}.get(self.variation(attempts).get("frames", ""), 0.0)
            return Step("retry", num_frames, round(share * num_frames))
        return None

    def _give_up(self, last: Attempt, attempts: Sequence[Attempt], reason: str, numbers: dict[str, Any]) -> Decision:
        best = best_attempt(attempts)
        if self.abstain or best["answer"] is None:
            return _make_decision(last, "abstain", reason, numbers, quotes=best)
        return _make_decision(last, "accept", f"best guess taken because abstain=False: {reason}", numbers, quotes=best)


def best_attempt(attempts: Sequence[Attempt]) -> Attempt:
    """Return the attempt to quote: the latest with the highest calibrated probability, where any has one.

    Else the latest of the answer with most votes, each weighing as the probability of the answer's own tokens, or 1;
    the last one if no answer could be read.
    """
    known = [(value, attempt["attempt"]) for attempt in attempts if (value := _probability(attempt)) is not None]
    if known:
        return attempts[max(known)[1]]
    group = largest_group([_answer(attempt) for attempt in attempts], weights=[_vote(attempt) for attempt in attempts])
    return attempts[group[-1]] if group else attempts[-1]


def find_threshold(attempt: Attempt, max_risk: float) -> float | None:
    """Return the least probability that keeps a bound on the share of wrong answers, by the attempt's calibrator.

    Among the calibrator's thresholds the largest bound up to `max_risk` counts; `None` if there is none.
    """
    calibration = attempt["confidence"].get("calibration") or {}
    fitting = [each for each in calibration.get("thresholds") or () if each["max_risk"] <= max_risk]
    kept = max(fitting, key=lambda each: each["max_risk"], default={"min_probability": None})
    return kept["min_probability"]


def resolve_variation(variation: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return a retry's arguments, looking up the name of a strategy."""
    return dict(RETRIES[variation] if isinstance(variation, str) else variation)


def _probability(attempt: Attempt) -> float | None:
    probability = attempt["confidence"].get("probability")
    return None if probability is None or attempt["answer"] is None else float(probability)


def _vote(attempt: Attempt) -> float:
    value = attempt["confidence"].get("signals", {}).get("answer_probability")
    return 1.0 if value is None else float(value)


def _num_retries(attempts: Sequence[Attempt]) -> int:
    return sum(bool(attempt["variation"]) for attempt in attempts)


def _answer(attempt: Attempt) -> dict[str, Any]:
    return {"text": attempt["answer"], "choice": attempt["choice"]}


def _make_decision(
    last: Attempt, action: Any, reason: str, numbers: dict[str, Any], *, quotes: Attempt, settled: bool = False
) -> Decision:
    return Decision(
        attempt=last["attempt"],
        action=action,
        reason=reason,
        numbers=numbers,
        quotes=quotes["attempt"],
        settled=settled,
    )


def acceptance_reason(numbers: Mapping[str, Any]) -> str:
    """Return what settled an answer, as a sentence with its numbers."""
    if (least := numbers["min_probability"]) is not None:
        risk = (
            "" if numbers["max_risk"] is None else f", to keep the share of wrong answers below {numbers['max_risk']:g}"
        )
        return f"about {_percent(numbers['probability'])} of such answers are right (needed: {least:.1%}{risk})"
    parts = ["the server tells no log-probabilities"] if numbers["only_agreement"] else []
    if (least := numbers["min_entropy_drop"]) is not None and not parts:
        parts.append(f"entropy fell by {_percent(numbers['entropy_drop'])} after its peak (needed: {_percent(least)})")
    if (least := numbers["min_answer_probability"]) is not None and not numbers["only_agreement"]:
        probability = numbers["answer_probability"]
        parts.append(f"the answer's tokens have a probability of {probability:.3f} (needed: {least:g})")
    agreeing = numbers["num_agreeing"]
    count = _NUMBER_WORDS.get(agreeing, agreeing)
    parts.append(f"{count} attempts in a row gave the same answer" if agreeing > 1 else "one attempt was enough")
    return ", and ".join(parts)


def rejection_reasons(answer: str | None, numbers: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with an answer, each as a sentence with its numbers; `None` could not be read."""
    reasons = ["no answer could be read from the output"] if answer is None else []
    if numbers["min_probability"] is not None or numbers["max_risk"] is not None:
        return [*reasons, *_probability_concerns(numbers)]
    drop, least = numbers["entropy_drop"], None if numbers["only_agreement"] else numbers["min_entropy_drop"]
    if least is not None and (drop is None or drop < least):
        found = "no entropy was measured"
        if drop is not None:
            is_down = round(drop, 2) > 0
            found = f"entropy fell by {_percent(drop)} after its peak" if is_down else ENTROPY_STAYED_UP
        reasons.append(f"{found} (needed: a drop of {_percent(least)})")
    probability = numbers["answer_probability"]
    least = None if numbers["only_agreement"] else numbers["min_answer_probability"]
    if least is not None and (probability is None or probability < least):
        found = "was not measured" if probability is None else f"is {probability:.3f}"
        reasons.append(f"the probability of the answer's tokens {found} (needed: {least:g})")
    agreeing, needed = numbers["num_agreeing"], numbers["min_agreeing"]
    if answer is not None and agreeing < needed:
        times = "once" if agreeing == 1 else f"{agreeing} times in a row"
        count = _NUMBER_WORDS.get(needed, needed)
        reasons.append(f"{quote(answer)} was given {times}; {count} matching attempts in a row are required")
    return reasons


def _probability_concerns(numbers: Mapping[str, Any]) -> list[str]:
    probability, least, max_risk = (numbers[name] for name in ("probability", "min_probability", "max_risk"))
    if least is None:
        return [f"no calibrator of this setup has a threshold for max_risk={max_risk:g}"]
    if probability is None:
        return [f"the probability of being right is not known (needed: {least:.1%})"]
    if probability < least:
        return [f"about {_percent(probability)} of such answers are right (needed: {least:.1%})"]
    return []


def is_whole(value: Any) -> bool:
    """Tell whether a value is an integer; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def are_variations(value: Any, *, has_frames: bool = True) -> bool:
    """Tell whether a value is a list of what further attempts differ in.

    Args:
        value: Names of strategies, or mappings by argument name, `prompt` being a text.
        has_frames: Whether a variation may choose frames; a caller that has none takes no name and no `frames`.
    """
    return isinstance(value, (tuple, list)) and all(_is_variation(each, has_frames) for each in value)


def _is_variation(value: Any, has_frames: bool) -> bool:
    if isinstance(value, str):
        return has_frames and value in RETRIES
    if not isinstance(value, Mapping) or not value or not all(isinstance(name, str) for name in value):
        return False
    if "frames" in value and not (has_frames and value["frames"] in ("other", "zoom")):
        return False
    return isinstance(prompt := value.get("prompt", "?"), str) and bool(prompt.strip()) and is_utf8(prompt)


def _as_float(value: float | None) -> float | None:
    """Return a number of whatever kind as one that a checkpointer keeps."""
    return None if value is None else float(value)


def _percent(share: float) -> str:
    """Return a share as percents, rounded down, so that what falls short of a bound never reads as reaching it."""
    return f"{floor(share * 1000 + 1e-9) / 10:g}%"
