"""Claims about the model profile: true of the model, and known before weights are loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import ModelProfile
from pydantic import BaseModel

from vreason_agent.chat_model import ChatVReason
from vreason_agent.model import unload
from vreason_agent.model.scripted import load_scripted


class Seen(BaseModel):
    """What was seen."""

    color: str


def profile(model: str | None = None) -> ModelProfile:
    found = ChatVReason(model=model).profile
    assert found is not None
    return found


def test_the_profile_of_the_bundled_model_says_what_it_takes_and_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vreason_agent.chat.model.load_model", None)
    found = profile()
    assert found["name"] == "tiny"
    assert found["max_input_tokens"] == 4096
    assert found["video_inputs"]
    assert not found["audio_inputs"]
    assert ChatVReason(profile={"max_input_tokens": 7}).profile == {"max_input_tokens": 7}


def test_a_model_that_is_not_here_has_no_known_context(tmp_path: Path) -> None:
    assert "max_input_tokens" not in profile("Org/Model-3B")
    assert "max_input_tokens" not in profile(str(tmp_path / "missing"))
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": 77}}))
    assert profile(str(tmp_path))["max_input_tokens"] == 77
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 78}))
    assert profile(str(tmp_path))["max_input_tokens"] == 78


def test_an_agent_lets_the_model_itself_answer_by_schema() -> None:
    engine = load_scripted(lambda prompt: '<think>x</think>{"color": "red"}')
    try:
        agent = create_agent(ChatVReason(model=engine.name), response_format=Seen)
        asked: Any = {"messages": [("human", "?")]}
        result = agent.invoke(asked)
    finally:
        unload(engine)
    assert result["structured_response"] == Seen(color="red")
    assert len(result["messages"]) == 2, "no tool call was needed for it"
