"""One question over several videos, with a model that knows what each shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from vreason_agent.errors import ConfigError
from vreason_agent.graphs import AcceptPolicy, Ladder, ScriptedChatModel, ScriptedReply, build_video_qa_graph
from vreason_agent.graphs.compare_videos import build_compare_videos_graph

REPLIES = {
    "unsure": ScriptedReply("green", {"entropy_drop": 0.1, "answer_probability": 0.99}),
    "weak": ScriptedReply("red", {"entropy_drop": 0.9, "answer_probability": 0.6}),
    "strong": ScriptedReply("blue", {"entropy_drop": 0.9, "answer_probability": 0.9}),
    "unmeasured": ScriptedReply("red", {"entropy_drop": 0.9}),
}


class Knowing(ScriptedChatModel):
    """Answers by the name of the file, whichever is asked first."""

    def _next_reply(self, messages: Any, kwargs: Any) -> ScriptedReply:
        return REPLIES[Path(messages[0].content[0]["url"]).stem]


@pytest.fixture
def videos(clip: Path, tmp_path: Path) -> dict[str, str]:
    for name in REPLIES:
        (tmp_path / f"{name}.avi").write_bytes(clip.read_bytes())
    return {name: str(tmp_path / f"{name}.avi") for name in REPLIES}


def build(**options: Any) -> Any:
    policy = AcceptPolicy(min_agreeing=1, max_retries=0)
    video_qa = build_video_qa_graph(Knowing(replies=[]), ladder=Ladder(4, 4), policy=policy)
    return build_compare_videos_graph(video_qa, **options)


def test_answers_are_ranked_and_abstentions_come_last(videos: dict[str, str]) -> None:
    result = build().invoke({"videos": videos, "question": "?"})
    assert [item["name"] for item in result["ranking"]] == ["strong", "weak", "unmeasured", "unsure"]
    assert [item["value"] for item in result["ranking"]] == [0.9, 0.6, None, 0.99]
    assert result["ranking"][3]["answer"] is None
    assert result["ranking"][3]["best_guess"]["answer"] == "green"
    assert result["ranked_by"] == "answer_probability"
    json.dumps(result)


async def test_async_gives_the_same_ranking(videos: dict[str, str]) -> None:
    asked = {"videos": videos, "question": "?"}
    assert (await build().ainvoke(asked))["ranking"] == build().invoke(asked)["ranking"]


def test_a_second_comparison_on_a_thread_starts_afresh(videos: dict[str, str]) -> None:
    graph, config = build(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "1"}}
    graph.invoke({"videos": videos, "question": "?"}, config)
    result = graph.invoke({"videos": {"only": videos["weak"]}, "question": "?"}, config)
    assert [item["name"] for item in result["ranking"]] == ["only"]


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ConfigError, match="give paths by name"):
        build().invoke({"videos": {}, "question": "?"})
