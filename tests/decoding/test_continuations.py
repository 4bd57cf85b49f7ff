"""Scoring continuations on a cache says what reading each of them anew says, and leaves the cache alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel

from tests.decoding.tiny_models import ROUNDING_NATS, TinyPrompt, make_batch, make_prompt
from vreason_agent.decoding import DecodeResult, VReasonConfig, decode
from vreason_agent.decoding.continuations import Branch, score_continuations

NUM_TOKENS, STEP, LENGTH = 12, 5, 3
OTHERS = ((60, 63), (60, 65, 67), (53,))


def run(model: PreTrainedModel, prompt: TinyPrompt, **fields: object) -> DecodeResult:
    rules = GenerationConfig(max_new_tokens=NUM_TOKENS, eos_token_id=[], pad_token_id=0, do_sample=False)
    config = VReasonConfig(**{"schedule": "off", **fields})  # type: ignore[arg-type]
    return decode(model, **prompt.arguments, config=config, generation_config=rules)


def branches(prompt: TinyPrompt, tokens: list[int], num_padding: int = 0) -> list[Branch]:
    """The first place of the answer, and a later one; each may go on as it did, or otherwise."""
    start = num_padding + prompt.length
    first = Branch(start - 1, -1, (int(prompt.arguments["input_ids"][0, -1]),), (tuple(tokens[:LENGTH]), *OTHERS))
    later = tuple(tokens[STEP : STEP + LENGTH])
    return [first, Branch(start + STEP - 2, STEP - 2, tuple(tokens[STEP - 2 : STEP]), (later, *OTHERS))]


def test_what_was_generated_has_the_log_probability_that_the_trace_has(hf_model: PreTrainedModel) -> None:
    prompts = [make_prompt(hf_model, seed=i, num_pairs=p, num_text=6 + 2 * i) for i, p in enumerate((3, 2))]
    batch = make_batch(hf_model, prompts)
    result = run(hf_model, batch)
    layers: Any = result.cache.layers
    before = [layer.keys.clone() for layer in layers]
    for row, prompt in enumerate(prompts):
        padding = batch.length - prompt.length
        found = score_continuations(
            hf_model,
            result.cache,
            row=row,
            num_padding=padding,
            position_ids=prompt.arguments["position_ids"][:, 0],
            branches=branches(prompt, result.sequences[row], padding),
        )
        logprobs = result.traces[row].logprobs
        assert found[0][0] == pytest.approx(sum(logprobs[:LENGTH]), abs=LENGTH * ROUNDING_NATS)
        assert found[1][0] == pytest.approx(sum(logprobs[STEP : STEP + LENGTH]), abs=LENGTH * ROUNDING_NATS)
    assert all(torch.equal(one, layer.keys) for one, layer in zip(before, layers, strict=True))


def read_anew(model: PreTrainedModel, prompt: TinyPrompt, tokens: list[int], continuation: tuple[int, ...]) -> float:
    """Log-probability of a continuation after the prompt and some tokens, by reading all of it without a cache."""
    given = prompt.arguments
    ids = torch.tensor([[*given["input_ids"][0].tolist(), *tokens, *continuation]])
    positions = given["position_ids"]
    rest = positions[..., -1:] + 1 + torch.arange(ids.shape[1] - prompt.length)
    with torch.no_grad():
        logits = model(
            input_ids=ids,
            position_ids=torch.cat([positions, rest], dim=-1),
            attention_mask=torch.ones_like(ids),
            **given["prefill_inputs"],
        ).logits[0]
    start = ids.shape[1] - len(continuation)
    log_probs = logits.log_softmax(dim=-1)
    return sum(float(log_probs[start - 1 + i, token]) for i, token in enumerate(continuation))


@pytest.mark.parametrize("schedule", ["off", "minimize"])
def test_each_continuation_is_what_the_model_without_steering_says(
    varied_model: PreTrainedModel, schedule: str
) -> None:
    prompt = make_prompt(varied_model)
    result = run(varied_model, prompt, schedule=schedule, warmup_steps=1, learning_rate=1.0)
    tokens, places = result.sequences[0], branches(prompt, result.sequences[0])
    found = score_continuations(
        varied_model,
        result.cache,
        row=0,
        num_padding=0,
        position_ids=prompt.arguments["position_ids"][:, 0],
        branches=places,
    )
    for place, scores, num_read in zip(places, found, (0, STEP), strict=True):
        for continuation, score in zip(place.continuations, scores, strict=True):
            anew = read_anew(varied_model, prompt, tokens[:num_read], continuation)
            assert score == pytest.approx(anew, abs=LENGTH * ROUNDING_NATS)
    if schedule == "minimize":
        steered = sum(result.traces[0].logprobs[STEP : STEP + LENGTH])
        assert found[1][0] != pytest.approx(steered, abs=LENGTH * ROUNDING_NATS)
