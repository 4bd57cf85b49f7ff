"""The agent against fixed frame counts, random and perfect gates; its thresholds tuned on development seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, product
from typing import Any

from benchmarks.quality.bench import Bench
from benchmarks.quality.ladder import answer_of, climb, reasons
from benchmarks.quality.schedules import require_dev
from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import ConfigError
from vreason_agent.evaluation import Answer, Estimate, Question, Result, mean, paired_difference, score
from vreason_agent.evaluation.adapter import Setting
from vreason_agent.evaluation.report import accuracy_of, markdown_table, number, percent
from vreason_agent.graphs.policy import AcceptPolicy, Ladder, resolve_variation

Results = Sequence[Result]
BY_SEED: tuple[str | Mapping[str, Any], ...] = ("new_seed", {"temperature": 0.7, "seed": 2})
"""Retries that see the same frames, which batches can ask for."""


def agent(bench: Bench, policy: AcceptPolicy, ladder: Ladder, vreason: VReasonConfig) -> str:
    """Return the agent's figures beside those of fixed frame counts, as Markdown."""
    fixed = {count: bench.run(Setting(num_frames=count, vreason=vreason)) for count in ladder.rungs()}
    rungs = {count: bench.run(rung_setting(count, ladder, vreason)) for count in ladder.rungs()}
    results = run_agent(bench, policy, ladder, vreason)
    rows = [_row(f"fixed {count}", rows) for count, rows in fixed.items()]
    rows += [_row("agent", results), _gate_row("random gate", *_random_gate(results, rungs))]
    rows.append(_gate_row("perfect gate", *_perfect_gate(rungs)))
    table = markdown_table(["run", "accuracy", "answered", "accuracy of those", "frames", "tokens", "seconds"], rows)
    head = f"{bench.num_questions} {bench.split} questions, {vreason.schedule}, weights {bench.engine.fingerprint}"
    ends = {count: fixed[count] for count in (ladder.num_frames, ladder.max_frames)}
    notes = [*_differences(results, ends), *_uplift(results)]
    return "\n".join([f"{head}, {policy}", "", table, "", *notes, "", _reason_table(results), "", _stop_table(results)])


def tune_policy(
    bench: Bench,
    ladder: Ladder,
    vreason: VReasonConfig,
    *,
    min_entropy_drops: Sequence[float],
    min_agreeing: Sequence[int],
    max_retries: Sequence[int],
) -> str:
    """Return accuracy and cost of every combination of thresholds, on development seeds only.

    Raises:
        ConfigError: The bench holds test questions.
    """
    require_dev(bench)
    rows = []
    for drop, agreeing, retries in product(min_entropy_drops, min_agreeing, max_retries):
        policy = AcceptPolicy(min_entropy_drop=drop, min_agreeing=agreeing, max_retries=retries, variations=BY_SEED)
        name = f"drop {drop:g}, agreeing {agreeing}, retries {retries}"
        rows.append(_row(name, run_agent(bench, policy, ladder, vreason)))
    return markdown_table(["policy", "accuracy", "answered", "accuracy of those", "frames", "tokens", "seconds"], rows)


def run_agent(bench: Bench, policy: AcceptPolicy, ladder: Ladder, vreason: VReasonConfig) -> list[Result]:
    """Return the agent's answers to all questions, its rungs asked in batches.

    Raises:
        ConfigError: The policy retries with other frames, which depend on each attempt and cannot be asked in batches.
    """
    if any("frames" in resolve_variation(one) for one in policy.variations[: policy.max_retries]):
        msg = f"variations={policy.variations!r} choose other frames; batches retry by seed: variations={BY_SEED!r}"
        raise ConfigError(msg)

    def ask(questions: Sequence[Question], num_frames: int, variation: Mapping[str, Any]) -> list[Answer]:
        setting = replace(rung_setting(num_frames, ladder, vreason), **variation)
        return [row.answer for row in bench.run(setting, questions)]

    climbs = climb(bench.questions, ask, ladder=ladder, policy=policy)
    answers = [answer_of(one) for one in climbs]
    rows = zip(bench.questions, answers, strict=True)
    return [Result(question, answer, score(question, answer)) for question, answer in rows]


def rung_setting(num_frames: int, ladder: Ladder, vreason: VReasonConfig) -> Setting:
    """Return how a rung is asked; the last one has evenly spread frames, as a fixed count has."""
    max_frames = None if num_frames == ladder.max_frames else ladder.max_frames
    return Setting(num_frames=num_frames, max_frames=max_frames, vreason=vreason)


def _row(name: str, results: Results) -> list[str]:
    answered = [row for row in results if row.answer.decision != "abstain"]
    frames = number(mean([row.answer.num_frames for row in results]), digits=1)
    tokens = number(mean([row.answer.num_tokens for row in results]), digits=1)
    seconds = number(mean([row.answer.seconds for row in results]), digits=2)
    share = f"{100 * len(answered) / len(results):.1f}"
    return [name, percent(accuracy_of(results)), share, percent(accuracy_of(answered)), frames, tokens, seconds]


def _gate_row(name: str, accuracy: Estimate, num_frames: Estimate) -> list[str]:
    return [name, percent(accuracy), "100.0", "", number(num_frames, digits=1), "", ""]


def _random_gate(results: Results, rungs: Mapping[int, Results]) -> tuple[Estimate, Estimate]:
    """Expected accuracy and frames of climbing and stopping at random, each rung as often as the agent stops there.

    Such a gate never retries, so it looks at fewer frames than an agent that does.
    """
    stops = Counter(row.answer.details["rungs"][-1] for row in results)
    shares = [stops[count] / len(results) for count in rungs]
    expected = [
        sum(share * row.score.is_correct for share, row in zip(shares, rows, strict=True))
        for rows in zip(*rungs.values(), strict=True)
    ]
    looked_at = sum(share * frames for share, frames in zip(shares, accumulate(rungs), strict=True))
    return mean(expected), Estimate(looked_at, None, None, len(results))


def _perfect_gate(rungs: Mapping[int, Results]) -> tuple[Estimate, Estimate]:
    """Accuracy and frames of a gate that stops at the first rung that is right, or at the last one.

    No policy can exceed its accuracy without a retry.
    """
    climbs = [[row.score.is_correct for row in rows] for rows in zip(*rungs.values(), strict=True)]
    looked_at = list(accumulate(rungs))
    stops = [next((i for i, is_right in enumerate(climb) if is_right), len(climb) - 1) for climb in climbs]
    return mean([float(any(climb)) for climb in climbs]), mean([float(looked_at[stop]) for stop in stops])


def _differences(results: Results, fixed: Mapping[int, Results]) -> list[str]:
    lines = []
    for count, rows in fixed.items():
        pairs = [[row.score.is_correct for row in run] for run in (rows, results)]
        difference = percent(paired_difference(pairs[0], pairs[1]), signed=True)
        lines.append(f"- agent minus fixed {count}, paired: {difference} points")
    return lines


def _uplift(results: Results) -> list[str]:
    """What looking again did, over all passes after a first one."""
    changed = gained = lost = total = 0
    for row in results:
        verdicts = [
            score(row.question, Answer(text="", answer=text)).is_correct for text in row.answer.details["answers"]
        ]
        texts = row.answer.details["answers"]
        for index in range(1, len(texts)):
            total += 1
            changed += texts[index] != texts[index - 1]
            gained += verdicts[index] and not verdicts[index - 1]
            lost += verdicts[index - 1] and not verdicts[index]
    return [
        f"- looked again {total} times: the answer changed {changed} times, {gained} became right, {lost} became wrong"
    ]


def _reason_table(results: Results) -> str:
    rows = [[reason, action, str(count)] for (action, reason), count in reasons(results).most_common()]
    return markdown_table(["reason", "decision", "times"], rows)


def _stop_table(results: Results) -> str:
    """Where the agent stopped, and how often it was right there."""
    stops = sorted({(row.answer.details["rungs"][-1], row.answer.decision or "") for row in results})
    rows = []
    for count, decision in stops:
        part = [row for row in results if (row.answer.details["rungs"][-1], row.answer.decision) == (count, decision)]
        rows.append([f"{count} frames", decision, str(len(part)), percent(accuracy_of(part))])
    return markdown_table(["stopped at", "decision", "questions", "right"], rows)
