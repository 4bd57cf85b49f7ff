"""No generation option is ignored in silence: each is applied, refused, or known to do nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel

from tests.decoding.test_plain import generate
from tests.decoding.tiny_models import make_model, make_prompt
from vreason_agent.decoding import VReasonConfig, decode, vreason_generate
from vreason_agent.decoding.generation_options import APPLIED, REFUSED, WITHOUT_EFFECT, check_generation_config
from vreason_agent.errors import ConfigError

OFF = VReasonConfig(schedule="off")
ASKED: dict[str, Any] = {
    "num_beams": 2,
    "num_beam_groups": 2,
    "diversity_penalty": 0.5,
    "constraints": [object()],
    "force_words_ids": [[1]],
    "num_return_sequences": 2,
    "penalty_alpha": 0.6,
    "dola_layers": "high",
    "token_healing": True,
    "guidance_scale": 1.5,
    "use_mtp": True,
    "prompt_lookup_num_tokens": 3,
    "assistant_early_exit": 1,
    "speculation_type": "dflash",
    "assistant_ensemble_weight": 0.5,
    "is_assistant": True,
    "use_cache": False,
    "cache_implementation": "static",
    "prefill_chunk_size": 2,
    "continuous_batching_config": {},
    "output_attentions": True,
    "output_hidden_states": True,
}


def test_every_field_of_transformers_is_classified_once() -> None:
    fields = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    tables: list[Collection[str]] = [APPLIED, WITHOUT_EFFECT, REFUSED]
    known = {name for table in tables for name in table}
    assert fields - known == set(), "put each new field into one table of vreason_agent.decoding.generation_options"
    assert sum(map(len, tables)) == len(known)
    assert ASKED.keys() == REFUSED.keys()


@pytest.mark.parametrize("name", ASKED)
def test_decode_refuses_what_it_does_not_implement(name: str, greedy: GenerationConfig) -> None:
    check_generation_config(greedy)
    for harmless in REFUSED[name].harmless:
        setattr(greedy, name, harmless)
        check_generation_config(greedy)
    setattr(greedy, name, ASKED[name])
    model = make_model()
    remedy = REFUSED[name].remedy or f"leave {name} out"
    with pytest.raises(ConfigError, match=f"{name}=.* is not supported by V-Reason's loop; {remedy}"):
        decode(model, **make_prompt(model).arguments, config=OFF, generation_config=greedy)


@pytest.mark.parametrize(
    "asked",
    [{"num_beams": 3}, {"cache_implementation": "static"}, {"dola_layers": "high"}, {"prompt_lookup_num_tokens": 2},
     {"penalty_alpha": 0.6, "top_k": 4}],
    ids=lambda asked: next(iter(asked)),
)  # fmt: skip
def test_generate_refuses_what_the_loop_does_not_implement(asked: dict[str, Any]) -> None:
    model: Any = make_model()
    with pytest.raises(ConfigError, match=f"leave {next(iter(asked))} out"):
        model.generate(
            **make_prompt(model).inputs, max_new_tokens=4, pad_token_id=0, custom_generate=vreason_generate, **asked
        )


def test_several_sequences_per_prompt_equal_generate(sharp_model: PreTrainedModel) -> None:
    prompt = make_prompt(sharp_model)
    rules = GenerationConfig(max_new_tokens=8, do_sample=True, top_k=0, num_return_sequences=3, pad_token_id=0)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = generate(sharp_model, prompt, rules)
        torch.manual_seed(5)
        assert generate(sharp_model, prompt, rules, custom_generate=vreason_generate, vreason=OFF) == expected
    assert len(expected) == 3


def test_decode_returns_scores_and_logits_if_asked(sharp_model: PreTrainedModel) -> None:
    prompt = make_prompt(sharp_model)
    asked: dict[str, Any] = {"output_scores": True, "output_logits": True, "return_dict_in_generate": True}
    rules = GenerationConfig(max_new_tokens=6, do_sample=False, repetition_penalty=1.3, pad_token_id=0, **asked)
    model: Any = sharp_model
    expected = model.generate(**prompt.inputs, generation_config=rules)
    result = decode(sharp_model, **prompt.arguments, config=OFF, generation_config=rules)
    assert result.scores is not None
    assert result.logits is not None
    assert all(torch.equal(own, other) for own, other in zip(result.scores, expected.scores, strict=True))
    assert all(torch.equal(own, other) for own, other in zip(result.logits, expected.logits, strict=True))
    plain = decode(sharp_model, **prompt.arguments, config=OFF, generation_config=GenerationConfig(max_new_tokens=2))
    assert (plain.scores, plain.logits) == (None, None)


@pytest.mark.parametrize("given", [{"schedule": "off"}, {}, "off"], ids=repr)
def test_a_config_of_another_type_is_refused_at_both_doors(given: Any, greedy: GenerationConfig) -> None:
    model: Any = make_model()
    prompt = make_prompt(model)
    remedy = r"must be a VReasonConfig; pass {}=VReasonConfig\(...\), or VReasonConfig.from_dict\(...\) of a dict"
    with pytest.raises(ConfigError, match=remedy.format("vreason")):
        model.generate(**prompt.inputs, max_new_tokens=2, custom_generate=vreason_generate, vreason=given)
    with pytest.raises(ConfigError, match=remedy.format("config")):
        decode(model, **prompt.arguments, config=given, generation_config=greedy)
