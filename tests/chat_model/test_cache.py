"""Claims about LangChain's caches: the same question is answered from them, an overwritten file is looked at again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.load import dumps, loads
from langchain_core.messages import HumanMessage

from tests.chat_model.fakes import FakeEngine
from vreason_agent.chat_model import ChatVReason


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    """LangChain's global cache."""
    found = InMemoryCache()
    set_llm_cache(found)
    yield found
    set_llm_cache(None)


def standard(path: Path) -> dict[str, Any]:
    return {"type": "video", "url": f"file://{path}", "extras": {"num_frames": 2}}


def openai(path: Path) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": str(path)}}


def qwen(path: Path) -> dict[str, Any]:
    return {"type": "video", "video": str(path)}


def anthropic(path: Path) -> dict[str, Any]:
    return {"type": "video", "source": {"type": "url", "url": str(path)}}


def tool_result(path: Path) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "seen:"}, standard(path)]}


def folder_of_frames(path: Path) -> dict[str, Any]:
    return {"type": "video", "path": str(path)}


def overwrite(path: Path) -> None:
    """Change a file but not its size, as a recording of fixed length does."""
    data = bytearray(path.read_bytes())
    stat = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))


@pytest.fixture
def video(tmp_path: Path, clip: Path) -> Path:
    return Path(shutil.copy(clip, tmp_path / "video.avi"))


def asked(block: dict[str, Any]) -> Any:
    return [HumanMessage([block, {"type": "text", "text": "What is it?"}])]


@pytest.mark.parametrize("block", [standard, openai, qwen, anthropic, tool_result])
def test_an_overwritten_file_is_asked_about_again(
    engine: FakeEngine, cache: InMemoryCache, video: Path, block: Any
) -> None:
    model = ChatVReason()
    first = model.invoke(asked(block(video)))
    assert model.invoke(asked(block(video))).content == first.content
    assert asyncio.run(model.ainvoke(asked(block(video)))).content == first.content
    assert len(engine.requests) == 1
    overwrite(video)
    model.invoke(asked(block(video)))
    assert len(engine.requests) == 2
    overwrite(video)
    asyncio.run(model.ainvoke(asked(block(video))))
    assert len(engine.requests) == 3


def test_an_overwritten_frame_is_asked_about_again(engine: FakeEngine, picture: Path) -> None:
    folder = picture.parent / "frames"
    folder.mkdir()
    frames = [Path(shutil.copy(picture, folder / f"{index}.png")) for index in range(4)]
    model = ChatVReason(cache=InMemoryCache())
    blocks = [folder_of_frames(folder), {"type": "video", "video": [str(frame) for frame in frames]}]
    for number, block in enumerate(blocks, 1):
        model.invoke(asked(block))
        model.invoke(asked(block))
        assert len(engine.requests) == 2 * number - 1
        overwrite(frames[2])
        model.invoke(asked(block))
        assert len(engine.requests) == 2 * number


def test_messages_are_left_alone_where_nothing_is_cached(
    engine: FakeEngine, cache: InMemoryCache, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = asked(standard(video))
    ChatVReason().invoke(message)
    assert "fingerprint" not in message[0].content[0]["extras"], "the caller's message"
    monkeypatch.setattr("vreason_agent.chat.model.with_fingerprints", None)
    ChatVReason(cache=False).invoke(message)
    set_llm_cache(None)
    ChatVReason().invoke(message)
    assert len(engine.requests) == 3


def test_what_cannot_be_read_is_told_when_it_is_looked_at(engine: FakeEngine, cache: InMemoryCache) -> None:
    with pytest.raises(FileNotFoundError):
        ChatVReason().invoke(asked({"type": "video", "url": "/no/such/clip.mp4"}))
    with pytest.raises(ValueError, match="give 'url'"):
        ChatVReason().invoke(asked({"type": "video"}))


class WrittenCache(BaseCache):
    """A cache that keeps text, as those in databases do."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], str] = {}

    def lookup(self, prompt: str, llm_string: str) -> Any:
        row = self.rows.get((prompt, llm_string))
        return None if row is None else [loads(text, allowed_objects="all") for text in json.loads(row)]

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        self.rows[prompt, llm_string] = json.dumps([dumps(generation) for generation in return_val])

    def clear(self, **kwargs: Any) -> None:
        self.rows.clear()


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")  # of `loads`
@pytest.mark.parametrize("output_version", ["v0", "v1"])
def test_an_answer_survives_a_cache_that_writes_it_down(engine: FakeEngine, clip: Path, output_version: str) -> None:
    model = ChatVReason(cache=WrittenCache(), output_version=output_version)
    first, again = (model.invoke([HumanMessage([standard(clip)])]) for _ in range(2))
    assert len(engine.requests) == 1
    assert again.content == first.content
    assert again.response_metadata == first.response_metadata
