"""Stop strings and time limits end rows where they end in plain `generate`, at both doors."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    StoppingCriteriaList,
    StopStringCriteria,
)

from tests.decoding.test_plain import generate, make_uneven_batch
from tests.decoding.tiny_models import VOCAB, make_prompt
from vreason_agent.decoding import VReasonConfig, decode, vreason_generate
from vreason_agent.errors import ConfigError

OFF = VReasonConfig(schedule="off")
DOOR = {"custom_generate": vreason_generate, "vreason": OFF}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """One character per token: `a` is token 0."""
    letters = Tokenizer(models.BPE({chr(ord("a") + token): token for token in range(VOCAB)}, []))
    letters.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=letters)


def text_of(tokenizer: PreTrainedTokenizerFast, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens))


@pytest.fixture
def stop_strings(
    sharp_model: PreTrainedModel, greedy: GenerationConfig, tokenizer: PreTrainedTokenizerFast
) -> list[str]:
    """Two tokens that the first row generates in its middle, and a string that nobody generates."""
    first = generate(sharp_model, make_uneven_batch(sharp_model), greedy)[0]
    return [text_of(tokenizer, first[10:12]), "bcdef"]


def assert_ends_as(expected: list[list[int]], result: Any) -> None:
    """Compare with `generate`'s rows, which are padded with 0."""
    for sequence, row in zip(result.sequences, expected, strict=True):
        assert sequence + [0] * (len(row) - len(sequence)) == row


def test_stop_strings_end_rows_as_in_generate(
    sharp_model: PreTrainedModel, greedy: GenerationConfig, tokenizer: PreTrainedTokenizerFast, stop_strings: list[str]
) -> None:
    prompt = make_uneven_batch(sharp_model)
    expected = generate(sharp_model, prompt, greedy, stop_strings=stop_strings, tokenizer=tokenizer)
    assert expected != generate(sharp_model, prompt, greedy)
    own = {"stop_strings": stop_strings, "stop_tokenizer": tokenizer}
    assert generate(sharp_model, prompt, greedy, **DOOR, **own) == expected
    criteria = StoppingCriteriaList([StopStringCriteria(tokenizer, stop_strings)])
    assert generate(sharp_model, prompt, greedy, **DOOR, stopping_criteria=criteria) == expected
    rules = GenerationConfig(**{**greedy.to_dict(), "stop_strings": stop_strings})
    result = decode(sharp_model, **prompt.arguments, config=OFF, generation_config=rules, tokenizer=tokenizer)
    assert_ends_as(expected, result)
    assert result.finish_reasons[0] == "stop"
    assert text_of(tokenizer, result.sequences[0]).endswith(stop_strings[0])


def test_stop_strings_without_their_tokenizer_are_refused_at_both_doors(
    sharp_model: PreTrainedModel, greedy: GenerationConfig, tokenizer: PreTrainedTokenizerFast
) -> None:
    prompt = make_prompt(sharp_model)
    with pytest.raises(ConfigError, match=r"stop_strings=\['x'\].*pass it as stop_tokenizer=tokenizer"):
        generate(sharp_model, prompt, greedy, **DOOR, stop_strings=["x"], tokenizer=tokenizer)
    rules = GenerationConfig(**{**greedy.to_dict(), "stop_strings": "x"})
    with pytest.raises(ConfigError, match=r"stop_strings='x'.*pass it as tokenizer=tokenizer"):
        decode(sharp_model, **prompt.arguments, generation_config=rules)


def test_a_time_limit_ends_rows_as_in_generate(sharp_model: PreTrainedModel, greedy: GenerationConfig) -> None:
    prompt = make_uneven_batch(sharp_model)
    rules = GenerationConfig(**{**greedy.to_dict(), "max_time": 1e-6})
    expected = generate(sharp_model, prompt, rules)
    assert [len(row) for row in expected] == [1, 1, 1]
    assert generate(sharp_model, prompt, rules, **DOOR) == expected
    result = decode(sharp_model, **prompt.arguments, config=OFF, generation_config=rules)
    assert result.sequences == expected
    assert result.finish_reasons == ["length"] * 3
    patient = GenerationConfig(**{**greedy.to_dict(), "max_time": 3600.0})
    assert len(decode(sharp_model, **prompt.arguments, config=OFF, generation_config=patient).sequences[0]) == 40
