"""Messages of any server with standard logprobs: the same definitions, over what the server listed."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace
from typing import Any

import pytest

from vreason_agent.confidence import SIGNAL_NAMES, confidence_of, describe_confidence, read_signals
from vreason_agent.confidence.logprobs import (
    EMA_DECAY,
    MIN_FINAL_STEPS,
    WARMUP_STEPS,
    LogprobTrace,
    read_logprob_signals,
    truncated_entropy,
)


def token(text: str, chance: float, *others: float) -> dict[str, Any]:
    """A token of the standard shape; `others` are the chances of further likely tokens."""
    listed = [{"token": text, "logprob": math.log(chance)}]
    listed += [{"token": f"{text}?{i}", "logprob": math.log(other)} for i, other in enumerate(others)]
    return {"token": text, "logprob": math.log(chance), "top_logprobs": listed}


def message(tokens: list[dict[str, Any]]) -> Any:
    return SimpleNamespace(response_metadata={"logprobs": {"content": tokens}})


def random_tokens(count: int) -> list[dict[str, Any]]:
    draw = random.Random(3)
    return [token(f"w{i} ", *sorted((draw.random() / 3 for _ in range(3)), reverse=True)) for i in range(count)]


def test_entropy_counts_what_the_server_left_out_as_one_outcome() -> None:
    assert truncated_entropy(token("a", 0.5, 0.25)) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    assert truncated_entropy(token("a", 1.0)) == 0.0
    assert truncated_entropy({"token": "a", "logprob": math.log(0.5)}) == pytest.approx(math.log(2))


def test_entropy_never_exceeds_that_of_the_whole_distribution_and_reaches_it() -> None:
    chances = [0.4, 0.3, 0.2, 0.1]
    whole = -sum(chance * math.log(chance) for chance in chances)
    bounds = [truncated_entropy(token("a", *chances[:known])) for known in (1, 2, 3, 4)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(whole)


@pytest.mark.parametrize(("count", "stop"), [(3, None), (8, 9), (11, 9), (11, None), (40, 30), (40, None)])
def test_signals_are_those_of_a_decoding_trace_with_the_same_entropies(count: int, stop: int | None) -> None:
    from vreason_agent.decoding import DecodingTrace, VReasonConfig
    from vreason_agent.decoding.phase import PhaseTracker

    config = VReasonConfig(schedule="off")
    assert (config.ema_decay, config.warmup_steps, config.min_final_steps) == (EMA_DECAY, WARMUP_STEPS, MIN_FINAL_STEPS)
    ours, tracker = LogprobTrace(random_tokens(count)), PhaseTracker(config)
    emas = tuple(tracker.observe(step, value).entropy_ema for step, value in enumerate(ours.entropy))
    theirs = DecodingTrace(
        config,
        token_ids=tuple(range(count)),
        logprobs=tuple(ours.logprobs),
        entropy=tuple(ours.entropy),
        entropy_ema=emas,
        forced=(False,) * count,
    )
    span = None if stop is None else (max(0, min(stop, count) - 2), min(stop, count))
    assert read_signals(ours, span) == pytest.approx(read_signals(theirs, span))
    assert set(read_signals(ours)) == set(SIGNAL_NAMES)


@pytest.mark.parametrize(
    "texts",
    [
        ["<think>", "it ", "moves", "</think>", "<answer>", "red", "</answer>"],
        ["it ", "moves", "</think>", "\n", "red"],
        ["<answer>", "no", "</answer>", " or ", "<answer>", "red", "</answer>"],
        ["red", "\n"],
    ],
)
def test_the_answers_probability_is_that_of_its_own_tokens(texts: list[str]) -> None:
    tokens = [token(text, 0.25 if text == "red" else 0.9) for text in texts]
    assert read_logprob_signals(tokens)["answer_probability"] == pytest.approx(0.25)


def test_a_servers_message_has_signals_their_units_and_no_probability() -> None:
    confidence = confidence_of(message(random_tokens(30)))
    assert confidence.signal("entropy_drop") is not None
    assert confidence.units["vocab"] == "top_k=3"
    assert "lower bound" in confidence.units["entropy"]
    assert confidence.probability is None
    assert confidence.warnings == ("from_logprobs",)
    assert any("likeliest tokens that the server listed" in sentence for sentence in describe_confidence(confidence))


@pytest.mark.parametrize(
    ("texts", "answer"),
    [
        (["it ", "moves", "</think>", "red"], {"text": "red", "choice": None, "kind": "open"}),
        (["<answer>", "</answer>"], {"text": None, "choice": None, "kind": "unparsed"}),
    ],
)
def test_a_servers_answer_is_in_the_record_and_no_answer_is_said_to_be_none(texts: list[str], answer: Any) -> None:
    confidence = confidence_of(message([token(text, 0.5) for text in texts]))
    assert confidence.answer == answer
    assert ("gave no answer" in describe_confidence(confidence)[0]) == (answer["text"] is None)


def test_a_damaged_list_of_tokens_has_no_signal_rather_than_a_wrong_one() -> None:
    for damage in (
        {"logprob": None},
        {"logprob": math.nan},
        {"token": None},
        {"top_logprobs": [{"token": "a"}]},
        {"top_logprobs": 3},
    ):
        tokens = random_tokens(30)
        tokens[4] = {**tokens[4], **damage}
        confidence = confidence_of(message(tokens))
        assert (confidence.signals, confidence.warnings) == ({}, ("unread_logprobs",))
        assert "form that is not supported" in describe_confidence(confidence)[-1]


def test_every_form_of_langchains_chat_models_gives_the_same_signals() -> None:
    tokens = random_tokens(12)
    candidates = [{"token": one["token"], "log_probability": one["logprob"]} for one in tokens]
    others = [
        {"candidates": [{"token": o["token"], "log_probability": o["logprob"]} for o in one["top_logprobs"]]}
        for one in tokens
    ]
    columns = {
        "tokens": [one["token"] for one in tokens],
        "token_logprobs": [one["logprob"] for one in tokens],
        "top_logprobs": [{o["token"]: o["logprob"] for o in one["top_logprobs"]} for one in tokens],
    }
    expected = confidence_of(message(tokens))
    forms: list[dict[str, Any]] = [
        {"logprobs": tokens},
        {"logprobs_result": tokens},
        {"logprobs_result": {"chosen_candidates": candidates, "top_candidates": others}},
        {"logprobs": {**columns, "text_offset": [0] * 12}},
    ]
    for metadata in forms:
        assert confidence_of(SimpleNamespace(response_metadata=metadata)) == expected
    without = {"logprobs": {**columns, "top_logprobs": None}}
    assert confidence_of(SimpleNamespace(response_metadata=without)).units["vocab"] == "top_k=0"


def test_a_message_without_logprobs_has_no_signal() -> None:
    empty: list[Any] = [None, {}, {"content": None}, {"content": []}, []]
    for metadata in (None, {}, *({"logprobs": logprobs} for logprobs in empty)):
        confidence = confidence_of(SimpleNamespace(response_metadata=metadata))
        assert (confidence.signals, confidence.warnings) == ({}, ("no_confidence",))


def test_a_record_wins_over_logprobs() -> None:
    both = message(random_tokens(30))
    both.response_metadata["confidence"] = {"signals": {"entropy_drop": 0.7}}
    assert confidence_of(both).signals == {"entropy_drop": 0.7}


@pytest.mark.parametrize("shown", ["bytes:", "\ufffd"])
def test_halves_of_characters_are_put_together_by_their_bytes(shown: str) -> None:
    pieces = [b"\xe6\x97", b"\xa5", b" ok"]
    tokens = [{**token(shown if number < 2 else " ok", 0.5), "bytes": list(p)} for number, p in enumerate(pieces)]
    assert confidence_of(message(tokens)).answer["text"] == "日 ok"
    assert confidence_of(message([{**tokens[0], "bytes": None}, *tokens[1:]])).answer["text"] == f"{shown * 2} ok"
