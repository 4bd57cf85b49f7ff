from __future__ import annotations

import pytest

from vreason_agent.evaluation import Answer, Estimate, Result, score
from vreason_agent.evaluation.report import accuracy_of, by_kind, markdown_table, number, percent


def results_of(questions, texts, **fields):
    answers = [Answer(text=text or "", answer=text, num_tokens=10, **fields) for text in texts]
    return [Result(q, a, score(q, a)) for q, a in zip(questions, answers, strict=True)]


@pytest.fixture
def truths(questions):
    return [question.answer for question in questions]


def test_kinds_start_with_all(questions, truths):
    groups = by_kind(results_of(questions, truths))
    assert {kind: len(rows) for kind, rows in groups.items()} == {"all": 12, "color": 6, "first": 6}


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
