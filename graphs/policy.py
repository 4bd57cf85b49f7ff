"""The judgment after an attempt: accept, look at more frames, ask again, or abstain; every time with its numbers.

The trigger is V-Reason's reading of a trace: a model that has settled shows a final phase whose entropy falls well
below its peak. Because one pass does not know what it has not seen, the answer must also hold when it looks again.
This module knows no graph and no model: it reads attempts and returns a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..confidence import largest_group, num_agreeing
from ..errors import ConfigError, quote
from .budget import Budget, Spent
from .checked import are_variations, as_float, check_flag, is_number, is_whole
from .expected import expected_cost
from .reasons import concerns_of, praise
from .state import Attempt, Decision

VARIATIONS: tuple[Mapping[str, Any], ...] = ({"temperature": 0.7, "seed": 1}, {"temperature": 0.7, "seed": 2})
"""Keyword arguments of the chat model for further tries, in turn; `prompt` is no argument but a text for it to read."""


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
            msg = (
                f"num_frames={quote(self.num_frames)}: frames come in pairs; use an even number from 2, e.g. "
                "num_frames=4"
            )
            raise ConfigError(msg)
        if not is_whole(self.max_frames) or self.max_frames not in self.rungs():
            allowed = ", ".join(str(self.num_frames << step) for step in range(5))
            msg = f"max_frames={quote(self.max_frames)}: num_frames={self.num_frames} is doubled; use one of {allowed}"
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
        min_entropy_drop: The final phase's entropy counts as having dropped from this value of `entropy_drop` on, in
            (-inf, 1]. Higher asks for more frames more often; `None` leaves the drop out of the judgment.
        min_answer_probability: Least probability of the answer's own tokens (the signal `answer_probability`), in
            [0, 1]. Higher asks for more frames more often; `None` leaves it out.
        min_agreeing: How many of the latest attempts in a row must give the same answer before it is accepted; 1
            accepts on one look. Where the ladder has one rung and no retry, or the budget one attempt, one look is
            all there is and 1 is used.
        max_retries: Further attempts at the last rung, each with the next of `variations`.
        variations: What differs in the retries, in turn: keyword arguments of the chat model, and `prompt`, a text that
            is put before the question, e.g. `{"prompt": "Look again at the very beginning and end.", "seed": 1}`.
        abstain: Whether an answer that is never good enough is withheld; it is kept as the best guess either way.
        check: Your own condition: takes all attempts so far, returns what is wrong in a sentence, or `None`.

    Raises:
        ConfigError: If a field is out of its range or of another type; from `judge`, if `check` returns no text.
    """

    min_entropy_drop: float | None = 0.7
    min_answer_probability: float | None = None
    min_agreeing: int = 2
    max_retries: int = 1
    variations: tuple[Mapping[str, Any], ...] = VARIATIONS
    abstain: bool = True
    check: Callable[[Sequence[Attempt]], str | None] | None = None

    def __post_init__(self) -> None:
        self._check_signals()
        self._check_counts()
        self._check_variations()
        check_flag("abstain", self.abstain)
        check: Any = self.check
        if check is not None and not callable(check):
            msg = f"check={quote(check)}: give a function of the attempts that returns a concern in words, or None"
            raise ConfigError(msg)

    def _check_signals(self) -> None:
        if self.min_entropy_drop is not None and not (is_number(self.min_entropy_drop) and self.min_entropy_drop <= 1):
            msg = f"min_entropy_drop={quote(self.min_entropy_drop)}: a drop is at most 1; use a value such as 0.7"
            raise ConfigError(msg)
        least = self.min_answer_probability
        if least is not None and not (is_number(least) and 0 <= least <= 1):
            msg = f"min_answer_probability={quote(least)}: use a value from 0 to 1, such as 0.9"
            raise ConfigError(msg)

    def _check_counts(self) -> None:
        counts = (self.min_agreeing, self.max_retries)
        if not all(map(is_whole, counts)) or self.min_agreeing < 1 or self.max_retries < 0:
            msg = (
                f"min_agreeing={quote(counts[0])}, max_retries={quote(counts[1])}: use whole numbers of at least "
                "1 and 0"
            )
            raise ConfigError(msg)

    def _check_variations(self) -> None:
        if not are_variations(self.variations):
            given = f"variations={quote(self.variations)}: each holds what a retry differs in, one that varies nothing"
            msg = f"{given} repeats itself; e.g. ({{'seed': 1}}, {{'prompt': 'Look again.'}})"
            raise ConfigError(msg)
        if self.max_retries > len(self.variations):
            msg = (
                f"max_retries={quote(self.max_retries)}: only {len(self.variations)} variations; add some to "
                "`variations`"
            )
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
        concerns = [*concerns_of(last["answer"], numbers), *self._own_concerns(attempts)]
        if not concerns:
            return _decision(last, "accept", praise(numbers), numbers, quotes=last, settled=True)
        action, num_frames = self._next_step(attempts, rungs)
        cost = expected_cost(attempts, num_frames)
        refusal = budget.refusal(spent, cost) if num_frames else self._used_up(attempts, rungs)
        if refusal is None:
            return _decision(last, action, "; ".join(concerns), numbers, quotes=best_attempt(attempts))
        ending = self._give_up(last, attempts, "; ".join([*concerns, refusal]), numbers)
        return {**ending, "wanted": action} if num_frames else ending

    def variation(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        """Return what differs in the next retry: the chat model's keyword arguments, and `prompt`."""
        return dict(self.variations[_num_retries(attempts)])

    def _used_up(self, attempts: Sequence[Attempt], rungs: Sequence[int]) -> str:
        retries = f"{_num_retries(attempts)} of {self.max_retries} retries"
        return f"the ladder and its retries are used up: rungs up to {rungs[-1]} frames, {retries}"

    def _numbers(self, attempts: Sequence[Attempt], rungs: Sequence[int], budget: Budget) -> dict[str, Any]:
        signals = attempts[-1]["confidence"].get("signals", {})
        can_compare = (len(rungs) > 1 or self.max_retries > 0) and budget.max_attempts != 1
        return {
            "entropy_drop": signals.get("entropy_drop"),
            "final_entropy": signals.get("final_entropy"),
            "answer_probability": signals.get("answer_probability"),
            "min_entropy_drop": as_float(self.min_entropy_drop),
            "min_answer_probability": as_float(self.min_answer_probability),
            "num_agreeing": num_agreeing([_answer(attempt) for attempt in attempts]),
            "min_agreeing": int(self.min_agreeing) if can_compare else 1,
            "num_frames": attempts[-1]["num_frames"],
        }

    def _own_concerns(self, attempts: Sequence[Attempt]) -> list[str]:
        concern: Any = self.check(attempts) if self.check else None
        if concern is None or isinstance(concern, str):
            return [concern] if concern else []
        msg = f"check returned {quote(concern)}: return what is wrong in a sentence, or None where nothing is"
        raise ConfigError(msg)

    def _next_step(self, attempts: Sequence[Attempt], rungs: Sequence[int]) -> tuple[Any, int]:
        last = attempts[-1]
        if last["rung"] + 1 < len(rungs):
            return "more_frames", rungs[last["rung"] + 1]
        if _num_retries(attempts) < self.max_retries:
            return "retry", last["num_frames"]
        return "abstain", 0

    def _give_up(self, last: Attempt, attempts: Sequence[Attempt], reason: str, numbers: dict[str, Any]) -> Decision:
        best = best_attempt(attempts)
        if self.abstain or best["answer"] is None:
            return _decision(last, "abstain", reason, numbers, quotes=best)
        return _decision(last, "accept", f"best guess taken because abstain=False: {reason}", numbers, quotes=best)


def best_attempt(attempts: Sequence[Attempt]) -> Attempt:
    """Return the attempt to quote: the latest of the answer with most votes, or the last one if none could be read.

    A vote counts as much as it was sure: by its calibrated probability, else by the probability of the answer's own
    tokens, else fully.
    """
    group = largest_group([_answer(attempt) for attempt in attempts], weights=[_vote(attempt) for attempt in attempts])
    return attempts[group[-1]] if group else attempts[-1]


def _vote(attempt: Attempt) -> float:
    confidence = attempt["confidence"]
    known = (confidence.get("probability"), confidence.get("signals", {}).get("answer_probability"))
    return next((float(value) for value in known if value is not None), 1.0)


def _num_retries(attempts: Sequence[Attempt]) -> int:
    return sum(bool(attempt["variation"]) for attempt in attempts)


def _answer(attempt: Attempt) -> dict[str, Any]:
    return {"text": attempt["answer"], "choice": attempt["choice"]}


def _decision(
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
