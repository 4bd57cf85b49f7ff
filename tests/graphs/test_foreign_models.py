"""The graph over any LangChain chat model: what a server's logprobs say decides as a confidence record does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage

from vreason_agent.graphs import AcceptPolicy, build_video_qa_graph


def served(answer: str, *, settles: bool) -> AIMessage:
    """A message as a server gives it: eight uncertain tokens of reasoning, then six that are surer if it settles."""
    chances = [0.4] * 8 + [0.99 if settles else 0.4] * 6
    words = [f"w{index} " for index in range(10)] + ["</think>", "<answer>", answer, "</answer>"]
    listed = [(word, math.log(chance), math.log((1 - chance) / 2)) for word, chance in zip(words, chances, strict=True)]
    content = [
        {
            "token": word,
            "logprob": chance,
            "top_logprobs": [{"token": word, "logprob": chance}, {"token": "?", "logprob": rest}],
        }
        for word, chance, rest in listed
    ]
    return AIMessage(content=f"<answer>{answer}</answer>", response_metadata={"logprobs": {"content": content}})


def ask(clip: Path, *messages: AIMessage) -> dict[str, Any]:
    graph = build_video_qa_graph(
        FakeMessagesListChatModel(responses=list(messages)), policy=AcceptPolicy(min_agreeing=1)
    )
    return graph.invoke({"video": str(clip), "question": "Which color?", "options": ["red", "blue"]})


def test_a_served_answer_that_settles_is_accepted(clip: Path) -> None:
    result = ask(clip, served("red", settles=True))
    assert result["answer"] == "red"
    assert result["confidence"]["signals"]["entropy_drop"] > 0.5
    assert result["confidence"]["units"]["vocab"] == "top_k=2"
    assert result["confidence"]["probability"] is None


def test_a_served_answer_that_does_not_settle_is_looked_at_again(clip: Path) -> None:
    result = ask(clip, served("blue", settles=False), served("red", settles=True))
    assert [decision["action"] for decision in result["decisions"]] == ["more_frames", "accept"]
    assert "entropy had not come down" in result["decisions"][0]["reason"]
    assert result["answer"] == "red"


def test_the_record_says_which_option_a_served_answer_is(clip: Path) -> None:
    result = ask(clip, served("blue", settles=True))
    assert result["choice"] == "B"
    assert result["confidence"]["answer"] == {"text": "blue", "choice": "B", "kind": "choice"}
