"""Models that the decoding tests run on: two random families and Qwen2-VL, sharpened ones, the bundled weights."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from transformers import GenerationConfig, PreTrainedModel, Qwen2_5_VLForConditionalGeneration

import vreason_agent
from tests.decoding.tiny_models import make_model, to_float64

BUNDLED = Path(vreason_agent.__file__).parent / "tiny" / "weights"
# A random head has entropies near log V and hides faults; a sharpened one lets them vary between 0 and 3 nats.
MODELS = {
    "qwen2_5_vl": ("qwen2_5_vl", 1.0),
    "qwen3_vl": ("qwen3_vl", 1.0),
    "qwen2_5_vl-sharp": ("qwen2_5_vl", 6.0),
    "qwen3_vl-sharp": ("qwen3_vl", 6.0),
    "qwen2_vl-sharp": ("qwen2_vl", 6.0),
}


@cache
def load_named_model(name: str) -> PreTrainedModel:
    """Make or load a float64 model once per process; tests leave it as it is (one of them checks that)."""
    if name != "bundled":
        family, sharpness = MODELS[name]
        return to_float64(make_model(family, sharpness=sharpness))
    if not (BUNDLED / "config.json").exists():
        pytest.fail(
            "the bundled weights are not in vreason_agent/tiny/weights: train them with vreason_agent.tiny.train"
        )
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(BUNDLED)
    return to_float64(model.eval())


ALL_MODELS = [
    *(pytest.param(name, marks=[] if name.endswith("-sharp") else [pytest.mark.slow]) for name in MODELS),
    "bundled",
]


@pytest.fixture(params=ALL_MODELS)
def hf_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return load_named_model(request.param)


@pytest.fixture(params=["qwen2_5_vl-sharp", "qwen3_vl-sharp"])
def sharp_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return load_named_model(request.param)


@pytest.fixture(params=["qwen2_5_vl-sharp", "qwen3_vl-sharp", pytest.param("bundled", marks=pytest.mark.slow)])
def varied_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """Models whose entropies vary from step to step: sharpened random ones, and the bundled weights."""
    return load_named_model(request.param)


@pytest.fixture
def greedy() -> GenerationConfig:
    """Forty greedy tokens, no end token: five times the warm-up."""
    return GenerationConfig(max_new_tokens=40, do_sample=False, eos_token_id=[], pad_token_id=0)
