"""`ReadOptions(isolation=...)` reaches every read of a file: nothing that a message names is decoded in its process."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import HumanMessage

from tests.chat_model.fakes import FakeEngine
from vreason_agent.chat_model import ChatVReason
from vreason_agent.errors import ConfigError, VideoDecodeError
from vreason_agent.messages import video_question
from vreason_agent.model import ImagePart, VideoPart
from vreason_agent.video import Isolation, ReadOptions
from vreason_agent.video.pyav_decoder import PyAVDecoder


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


BLOCKS: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "a video file": lambda clip, picture: {"type": "video", "url": str(clip)},
    "a video inline": lambda clip, picture: {"type": "video", "base64": _data(clip), "mime_type": "video/x-msvideo"},
    "an image file": lambda clip, picture: {"type": "image", "url": str(picture)},
    "an image inline": lambda clip, picture: {"type": "image", "base64": _data(picture), "mime_type": "image/png"},
    "a list of frames": lambda clip, picture: {
        "type": "video",
        "video": [str(picture), f"data:image/png;base64,{_data(picture)}"],
    },
}


def pictures_of(engine: FakeEngine) -> Any:
    (part,) = [part for turn in engine.requests[-1].turns for part in turn.parts]
    return part.images if isinstance(part, VideoPart) else part.image if isinstance(part, ImagePart) else part


@pytest.mark.parametrize("block", BLOCKS)
def test_every_kind_of_block_is_decoded_elsewhere_to_the_same_pixels(
    engine: FakeEngine, clip: Path, picture: Path, monkeypatch: pytest.MonkeyPatch, block: str
) -> None:
    message = HumanMessage([BLOCKS[block](clip, picture)])
    ChatVReason().invoke([message])
    here = pictures_of(engine)
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("decoded here"))
    monkeypatch.setattr(cv2, "imdecode", lambda *args: pytest.fail("decoded here"))
    ChatVReason(read_options=ReadOptions(isolation=Isolation())).invoke([message])
    assert np.array_equal(pictures_of(engine), here)


def test_its_limits_are_fields_and_what_they_end_is_a_typed_error(engine: FakeEngine, clip: Path) -> None:
    chat_model = ChatVReason(read_options=ReadOptions(isolation=Isolation(max_seconds=0.01)))
    with pytest.raises(ModelInvalidRequestError, match="was ended; ask for fewer frames") as caught:
        chat_model.invoke([video_question(clip, "?")])
    assert isinstance(caught.value, VideoDecodeError)


def test_a_backend_that_is_asked_for_reads_what_a_message_names(engine: FakeEngine, clip: Path) -> None:
    message = video_question(clip, "?", timestamps_seconds=[1.0])
    ChatVReason().invoke([message])
    (here, _) = engine.requests[-1].turns[0].parts
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("PyAV was opened"))
        ChatVReason(read_options=ReadOptions(backend="opencv")).invoke([message])
    (there, _) = engine.requests[-1].turns[0].parts
    assert isinstance(here, VideoPart)
    assert isinstance(there, VideoPart)
    assert there.timestamps_seconds == here.timestamps_seconds
    with pytest.raises(ConfigError, match="use one of: auto, av, opencv"):
        ChatVReason(read_options=ReadOptions(backend="decord"))  # type: ignore[arg-type]


def test_isolation_does_not_change_what_a_cache_takes_for_the_same_call() -> None:
    isolated = ChatVReason(read_options=ReadOptions(isolation=Isolation()))
    assert isolated._identifying_params == ChatVReason()._identifying_params
