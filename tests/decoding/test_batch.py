"""A batch gives what each sequence gives alone (method, point 5); seeds decide sampled tokens (point 6)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel

from tests.decoding.tiny_models import ROUNDING_NATS, TinyPrompt, make_batch, make_prompt
from vreason_agent.decoding import DecodeResult, VReasonConfig, decode
from vreason_agent.errors import GenerationError

SAMPLED = GenerationConfig(max_new_tokens=32, do_sample=True, temperature=0.9, top_k=0, eos_token_id=[], pad_token_id=0)


def run(model: PreTrainedModel, prompt: TinyPrompt, config: VReasonConfig, seeds: list[int]) -> DecodeResult:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return decode(model, **prompt.arguments, config=config, generation_config=SAMPLED, generators=generators)


@pytest.mark.parametrize(
    "fields",
    [{}, {"apply_to": "current", "record_unsteered_entropy": True, "num_optim_steps": 2}, {"schedule": "random"}],
    ids=["next", "current", "random"],
)
def test_each_row_is_what_it_is_alone(hf_model: PreTrainedModel, fields: dict[str, Any]) -> None:
    config = VReasonConfig(**fields)
    prompts = [make_prompt(hf_model, seed=i, num_pairs=p, num_text=6 + 2 * i) for i, p in enumerate((3, 2, 0))]
    together = run(hf_model, make_batch(hf_model, prompts), config, [5, 6, 7])
    for row, prompt in enumerate(prompts):
        alone = run(hf_model, prompt, config, [5 + row])
        assert together.sequences[row] == alone.sequences[0]
        assert together.traces[row].entropy == pytest.approx(alone.traces[0].entropy, abs=ROUNDING_NATS)
        assert together.traces[row].switch == alone.traces[0].switch


def test_lite_rows_are_what_they_are_alone(varied_model: PreTrainedModel) -> None:
    model, config = varied_model, VReasonConfig(lite=True)
    prompts = [make_prompt(model, seed=i, num_pairs=4, num_text=6 + 2 * i) for i in range(2)]
    together = run(model, make_batch(model, prompts), config, [5, 6])
    for row, prompt in enumerate(prompts):
        alone = run(model, prompt, config, [5 + row])
        assert together.traces[row].num_video_tokens_kept == 4
        assert together.sequences[row] == alone.sequences[0]
        assert together.traces[row].entropy == pytest.approx(alone.traces[0].entropy, abs=ROUNDING_NATS)


def test_lite_rows_must_lose_equally_many_tokens(sharp_model: PreTrainedModel) -> None:
    prompts = [make_prompt(sharp_model, num_pairs=pairs) for pairs in (4, 2)]
    with pytest.raises(GenerationError, match=r"\[8, 4\].*decode them one by one, or give each the same frames"):
        run(sharp_model, make_batch(sharp_model, prompts), VReasonConfig(lite=True), [1, 2])


def test_same_seed_gives_the_same_tokens_and_another_seed_others(varied_model: PreTrainedModel) -> None:
    prompt = make_prompt(varied_model)
    first, again, other = (run(varied_model, prompt, VReasonConfig(), [seed]) for seed in (3, 3, 4))
    assert first.sequences == again.sequences
    assert first.traces[0].entropy == again.traces[0].entropy
    assert first.sequences != other.sequences


@pytest.mark.parametrize("fields", [{}, {"apply_to": "current", "record_unsteered_entropy": True}])
def test_two_threads_get_what_one_thread_gets(varied_model: PreTrainedModel, fields: dict[str, Any]) -> None:
    config = VReasonConfig(**fields)
    prompts = [make_prompt(varied_model, seed=seed, num_pairs=2 + seed % 2) for seed in range(4)]
    alone = [run(varied_model, prompt, config, [seed]).sequences for seed, prompt in enumerate(prompts)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(run, varied_model, prompt, config, [seed]) for seed, prompt in enumerate(prompts)]
        assert [job.result().sequences for job in jobs] == alone
