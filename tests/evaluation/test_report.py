from __future__ import annotations

from dataclasses import replace

import pytest

from vreason_agent.errors import EvaluationError
from vreason_agent.evaluation import Answer, Estimate, Result, score
from vreason_agent.evaluation.report import (
    accuracy_of,
    by_kind,
    card_table,
    comparison_table,
    markdown_table,
    number,
    percent,
    share_changed,
    share_rewritten,
    signal_auroc,
    signal_mean,
    signal_table,
)


def results_of(questions, texts, **fields):
    answers = [Answer(text=text or "", answer=text, num_tokens=10, **fields) for text in texts]
    return [Result(q, a, score(q, a)) for q, a in zip(questions, answers, strict=True)]


def wrong_option(question):
    return next(option for option in question.options if option != question.answer)


@pytest.fixture
def truths(questions):
    return [question.answer for question in questions]


def test_kinds_start_with_all(questions, truths):
    groups = by_kind(results_of(questions, truths))
    assert {kind: len(rows) for kind, rows in groups.items()} == {"all": 12, "color": 6, "first": 6}


def test_card_holds_model_oracle_blind_and_chance(questions, truths):
    right, red = results_of(questions, truths), results_of(questions, ["red"] * 12)
    table = card_table({4: red, 32: right}, {4: right, 32: right}, red)
    assert table.splitlines()[0] == "| kind | n | 4 frames | oracle 4 | 32 frames | oracle 32 | no video | chance |"
    assert "| all | 12 | 25.0 [8.9, 53.2] | 100.0 | 100.0 [75.8, 100.0] | 100.0 | 25.0 [8.9, 53.2] | 25.0 |" in table
    assert "| color | 6 | 0.0 [0.0, 39.0] |" in table


def test_comparison_pairs_each_run_with_the_baseline(questions, truths):
    off, switching = results_of(questions, ["red"] * 12), results_of(questions, truths)
    lines = comparison_table({"off": off, "switching": switching}, baseline="off").splitlines()
    assert lines[2] == "| off | 12 | 25.0 [8.9, 53.2] |  |  | 10.0 | 0.0 | 0.0 |"
    assert lines[3].startswith("| switching | 12 | 100.0 [75.8, 100.0] | +75.0 [")
    assert lines[3].endswith("| 0.004 | 10.0 | 75.0 | 75.0 |")


def test_comparison_refuses_unknown_baseline_and_unpaired_runs(questions, truths):
    run = results_of(questions, truths)
    with pytest.raises(EvaluationError, match=r"no run named 'off' .* found on; run it first or name another"):
        comparison_table({"on": run}, baseline="off")
    with pytest.raises(EvaluationError, match="12 and 11 rows answer different questions; run both on one dataset"):
        comparison_table({"off": run, "on": run[1:]}, baseline="off")


def test_answer_written_otherwise_is_rewritten_but_not_changed(questions):
    plain, capital = results_of(questions, ["red"] * 12), results_of(questions, ["Red."] * 12)
    assert share_changed(plain, capital).value == 0
    assert share_rewritten(plain, capital).value == 1


def test_share_rewritten_prefers_token_hashes(questions):
    runs = [results_of(questions, ["red"] * 12, token_hash=name) for name in ("x", "y")]
    assert share_rewritten(*runs).value == 1


def test_signal_mean_skips_rows_without_it(questions, truths):
    rows = results_of(questions, truths, signals={"final_entropy": 0.4})
    rows[0] = replace(rows[0], answer=replace(rows[0].answer, signals={"final_entropy": None}))
    assert signal_mean(rows, "final_entropy").value == pytest.approx(0.4)
    assert signal_mean(rows, "final_entropy").n == 11


def test_signal_auroc_knows_its_direction_and_leaves_out_or_ranks_last_what_was_not_measured(questions, truths):
    rows = []
    for index, row in enumerate(results_of(questions, [*truths[:6], *["purple"] * 6])):
        rows.append(replace(row, answer=replace(row.answer, signals={"entropy": float(index)})))
    for row in rows[:2]:
        row.answer.signals.clear()
    rows[6] = replace(rows[6], answer=replace(rows[6].answer, answer=wrong_option(rows[6].question)))
    rows[6] = replace(rows[6], score=score(rows[6].question, rows[6].answer))
    low, high = (signal_auroc(rows, "entropy", higher_is_confident=is_high) for is_high in (False, True))
    assert (low.value, high.value, low.n) == (1.0, 0.0, 5)  # 4 right ones and the wrong one that can be read
    gate = signal_auroc(rows, "entropy", higher_is_confident=True, missing_ranks_last=True)
    assert gate.n == 12
    assert gate.value is not None
    assert 0.5 < gate.value < 1.0  # unreadable answers rank last, and so do two right ones
    table = signal_table({"off": rows}, {"entropy": False, "absent": True})
    assert "| entropy | lower | 1.000 (n = 5) |" in table
    assert "| absent | higher | - |" in table


def test_tables_say_how_many_rows_have_the_signal(questions, truths):
    rows = results_of(questions, ["red"] * 12, signals={"entropy": 0.5})
    rows[3] = replace(rows[3], answer=replace(rows[3].answer, signals={}))
    assert "0.500 [0.125, 0.875] (n = 11) |" in signal_table({"off": rows}, {"entropy": False})
    assert "(n = 11)" not in signal_table({"off": rows}, {"entropy": False}, missing_ranks_last=True)
    assert "| 0.500 (n = 11) |" in comparison_table({"off": rows}, baseline="off", signals=("entropy",))


def test_formats():
    estimate = Estimate(0.5, 0.4, 0.61, 10)
    assert percent(estimate) == "50.0 [40.0, 61.0]"
    assert percent(estimate, signed=True) == "+50.0 [+40.0, +61.0]"
    assert percent(estimate, bare=True) == "50.0"
    assert number(estimate, digits=2, with_interval=True) == "0.50 [0.40, 0.61]"
    assert percent(Estimate(None, None, None, 0)) == number(Estimate(None, None, None, 0)) == "-"
    assert number(Estimate(2.0, None, None, 1), with_interval=True) == "2.000"
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| :-- | --: |\n| 1 | 2 |"


def test_accuracy_of_counts_unparsed_as_wrong(questions, truths):
    assert accuracy_of(results_of(questions, [None, *truths[1:]])).value == pytest.approx(11 / 12)
