"""A model that follows a script writes its text, whatever the weights would rather write."""

from __future__ import annotations

import pytest

from tests.model.conftest import ask
from vreason_agent.decoding import VReasonConfig
from vreason_agent.model import GenerationRequest, unload
from vreason_agent.model.scripted import load_scripted

TEXT = "<think>ok</think><answer>up \u2192 left \U0001f600</answer>"


@pytest.mark.parametrize("strength", [0.5, 30.0])
def test_the_text_of_the_script_comes_out_steered_or_not(strength: float) -> None:
    model = load_scripted(lambda prompt: TEXT if "first" in prompt else "", strength=strength)
    configs = [VReasonConfig(schedule="off"), VReasonConfig(apply_to="current", learning_rate=5.0, num_optim_steps=3)]
    for config in configs:
        turns = ask("Which first?").turns
        requests = [GenerationRequest(turns, vreason=config), GenerationRequest(ask("?").turns, vreason=config)]
        assert [answer.text for answer in model.generate(requests)] == [TEXT, ""]
    unload(model)
