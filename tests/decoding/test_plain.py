"""With nothing to steer, both doors equal `hf_model.generate` token for token (method, point 1)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from tests.decoding.tiny_models import ROUNDING_NATS, TinyPrompt, make_batch, make_prompt
from vreason_agent.decoding import DecodingTrace, VReasonConfig, decode, vreason_generate
from vreason_agent.decoding.compat import cache_of

PLAIN = {
    "off": VReasonConfig(schedule="off"),
    "learning rate 0": VReasonConfig(learning_rate=0.0),
    "learning rate 0, current": VReasonConfig(learning_rate=0.0, apply_to="current", num_optim_steps=2),
}
plain_configs = pytest.mark.parametrize("config", PLAIN.values(), ids=PLAIN.keys())


def make_uneven_batch(model: PreTrainedModel) -> TinyPrompt:
    """Three rows of different lengths: two with video, one of text alone."""
    shapes = [(3, 6), (2, 11), (0, 4)]
    return make_batch(model, [make_prompt(model, seed=i, num_pairs=p, num_text=t) for i, (p, t) in enumerate(shapes)])


def generate(model: Any, prompt: TinyPrompt, config: GenerationConfig, **kwargs: Any) -> list[list[int]]:
    """Return transformers' own new tokens, with its padding."""
    output: torch.Tensor = model.generate(**prompt.inputs, generation_config=config, **kwargs)
    return output[:, prompt.length :].tolist()


@plain_configs
@pytest.mark.parametrize("make", [make_prompt, make_uneven_batch], ids=["one row", "left padded batch"])
def test_greedy_tokens_equal_generate(
    hf_model: PreTrainedModel, greedy: GenerationConfig, config: VReasonConfig, make: Any
) -> None:
    prompt = make(hf_model)
    expected = generate(hf_model, prompt, greedy)
    assert decode(hf_model, **prompt.arguments, config=config, generation_config=greedy).sequences == expected
    assert generate(hf_model, prompt, greedy, custom_generate=vreason_generate, vreason=config) == expected


@plain_configs
def test_sampled_tokens_equal_generate_with_the_same_seed(hf_model: PreTrainedModel, config: VReasonConfig) -> None:
    prompt = make_prompt(hf_model)
    rules = GenerationConfig(
        max_new_tokens=40, do_sample=True, temperature=0.8, top_p=0.9, top_k=0, min_p=0.01, repetition_penalty=1.1,
        eos_token_id=[], pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(11)
        expected = generate(hf_model, prompt, rules)
        torch.manual_seed(11)
        assert generate(hf_model, prompt, rules, custom_generate=vreason_generate, vreason=config) == expected
    generators = [torch.Generator().manual_seed(11)]
    result = decode(hf_model, **prompt.arguments, config=config, generation_config=rules, generators=generators)
    assert result.sequences == expected


def test_rows_end_and_pad_as_in_generate(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    prompt = make_uneven_batch(sharp_model)
    free = generate(sharp_model, prompt, greedy)
    end = free[0][5]
    rules = GenerationConfig(max_new_tokens=40, do_sample=False, eos_token_id=[end, 119], pad_token_id=7)
    expected = generate(sharp_model, prompt, rules)
    config = VReasonConfig(schedule="off")
    assert generate(sharp_model, prompt, rules, custom_generate=vreason_generate, vreason=config) == expected
    result = decode(sharp_model, **prompt.arguments, config=config, generation_config=rules)
    assert result.sequences[0] == free[0][: free[0].index(end) + 1]
    assert result.finish_reasons[0] == "stop"
    for sequence, row in zip(result.sequences, expected, strict=True):
        assert sequence + [7] * (len(row) - len(sequence)) == row


class StopAfter(StoppingCriteria):
    """Ends every row after a number of tokens."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.full((len(input_ids),), input_ids.shape[1] >= self._length)


def test_stopping_criteria_and_length_give_their_reasons(sharp_model: PreTrainedModel) -> None:
    prompt = make_prompt(sharp_model)
    rules = GenerationConfig(max_new_tokens=9, do_sample=False, pad_token_id=0)
    criteria = StoppingCriteriaList([StopAfter(prompt.length + 4)])
    stopped = decode(sharp_model, **prompt.arguments, generation_config=rules, stopping_criteria=criteria)
    full = decode(sharp_model, **prompt.arguments, generation_config=rules)
    assert (len(stopped.sequences[0]), stopped.finish_reasons) == (4, ["stop"])
    assert (len(full.sequences[0]), full.finish_reasons) == (9, ["length"])
    assert stopped.sequences[0] == full.sequences[0][:4]


def test_steered_generate_equals_decode(hf_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    prompt = make_uneven_batch(hf_model)
    traces: list[DecodingTrace] = []
    tokens = generate(
        hf_model, prompt, greedy, custom_generate=vreason_generate, vreason=VReasonConfig(), trace_out=traces
    )
    result = decode(hf_model, **prompt.arguments, config=VReasonConfig(), generation_config=greedy)
    assert tokens == result.sequences
    assert [trace.entropy for trace in traces] == [trace.entropy for trace in result.traces]
    assert [trace.steered for trace in traces] == [True, True, False]


def test_generate_returns_what_transformers_returns(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    model: Any = sharp_model
    prompt = make_prompt(sharp_model)
    asked = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    expected = model.generate(**prompt.inputs, generation_config=greedy, **asked)
    off = {"custom_generate": vreason_generate, "vreason": VReasonConfig(schedule="off")}
    output = model.generate(**prompt.inputs, generation_config=greedy, **asked, **off)
    assert type(output) is type(expected)
    assert torch.equal(output.sequences, expected.sequences)
    for own, theirs in [(output.scores, expected.scores), (output.logits, expected.logits)]:
        assert len(own) == len(theirs)
        assert torch.allclose(torch.stack(own), torch.stack(theirs), rtol=0.0, atol=1e-5)  # logits are kept in float32
    values, expected_values = (cache_of(some).layers[-1].values for some in (output, expected))
    assert torch.allclose(values, expected_values, rtol=0.0, atol=ROUNDING_NATS)


def test_text_only_prompt_is_decoded_plainly_and_says_so(
    sharp_model: PreTrainedModel, greedy: GenerationConfig
) -> None:
    prompt = make_prompt(sharp_model, num_pairs=0)
    result = decode(sharp_model, **prompt.arguments, config=VReasonConfig(), generation_config=greedy)
    assert result.sequences == generate(sharp_model, prompt, greedy)
    assert not result.traces[0].steered
    assert result.traces[0].not_steered_because == "the prompt has no video tokens"
    assert set(result.traces[0].controller_norm) == {None}


def test_a_batch_of_text_with_more_rows_than_rope_axes_is_decoded(
    sharp_model: PreTrainedModel, greedy: GenerationConfig
) -> None:
    prompt = make_prompt(sharp_model, num_pairs=0)
    rows = prompt.arguments["input_ids"].repeat(5, 1)
    result = decode(sharp_model, input_ids=rows, config=VReasonConfig(), generation_config=greedy)
    assert result.sequences == generate(sharp_model, prompt, greedy) * 5
