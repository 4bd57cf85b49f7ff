from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from vreason_agent.chat.frame_loader import FrameDefaults, FrameLoader
from vreason_agent.errors import ConfigError, VideoError
from vreason_agent.messages import Conversation, read_messages, video_question
from vreason_agent.model import ImagePart, TextPart, VideoPart
from vreason_agent.question import question_text
from vreason_agent.video import ReadOptions, VideoReader


def read(*messages: BaseMessage, roots: list[Path] | None = None, **defaults: Any) -> Conversation:
    loader = FrameLoader(FrameDefaults(**defaults), ReadOptions(roots))
    return read_messages(messages, wording=question_text, loader=loader)


def video_of(conversation: Conversation) -> VideoPart:
    (part,) = [part for turn in conversation.turns for part in turn.parts if isinstance(part, VideoPart)]
    return part


def test_roles_and_texts_are_kept() -> None:
    turns = read(SystemMessage("be brief"), HumanMessage("hi"), AIMessage("hello"), HumanMessage("again")).turns
    assert [(turn.role, turn.parts) for turn in turns] == [
        ("system", (TextPart("be brief"),)),
        ("user", (TextPart("hi"),)),
        ("assistant", (TextPart("hello"),)),
        ("user", (TextPart("again"),)),
    ]


def test_consecutive_messages_of_one_role_become_one_turn() -> None:
    turns = read(HumanMessage("one"), HumanMessage(["two", {"type": "text", "text": "three"}]), AIMessage("x")).turns
    assert [(turn.role, turn.parts) for turn in turns] == [
        ("user", (TextPart("one\ntwo\nthree"),)),
        ("assistant", (TextPart("x"),)),
    ]


def test_an_assistants_thoughts_and_tool_calls_are_not_read_back() -> None:
    blocks: list[Any] = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "text", "text": "red"},
        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
    ]
    assert read(HumanMessage("?"), AIMessage(blocks), HumanMessage("!")).turns[1].parts == (TextPart("red"),)


def test_a_tools_picture_is_seen(picture: Path) -> None:
    turns = read(HumanMessage("?"), ToolMessage([{"type": "image", "url": str(picture)}], tool_call_id="1")).turns
    assert turns[1].role == "tool"
    assert isinstance(turns[1].parts[0], ImagePart)


def test_a_videos_frames_are_the_ones_at_the_times_asked_for(clip: Path) -> None:
    conversation = read(video_question(clip, "?", timestamps_seconds=[1.0, 2.5]))
    part = video_of(conversation)
    assert part.timestamps_seconds == (1.0, 2.5)
    assert part.images.shape == (2, 32, 32, 3)
    assert [int(image.mean()) for image in part.images] == pytest.approx([24, 60], abs=3)
    assert conversation.evidence[0].to_dict() == {
        "source": str(clip),
        "kind": "video",
        "num_frames": 2,
        "timestamps_seconds": [1.0, 2.5],
    }


def test_without_hints_the_defaults_say_where_to_look(clip: Path) -> None:
    assert video_of(read(video_question(clip, "?"))).timestamps_seconds == (0.0, 0.25, 4.0, 4.25)
    part = video_of(read(video_question(clip, "?"), num_frames=4, max_frames=4, start_seconds=2.0, stop_seconds=4.0))
    assert part.timestamps_seconds == (2.0, 2.5, 3.0, 3.5)


def test_a_block_can_plan_its_frames_by_any_rule(clip: Path) -> None:
    message = video_question(clip, "?", start_seconds=2.0, plan={"name": "fps", "sample_fps": 0.5})
    assert video_of(read(message)).timestamps_seconds == (2.0, 4.0)
    cuts = {"name": "scenes", "cuts_seconds": [6.0], "num_frames": 4}
    assert video_of(read(video_question(clip, "?", plan=cuts))).timestamps_seconds == (0.0, 3.0, 6.0, 7.0)
    with pytest.raises(ConfigError, match="use one of: pairs, uniform"):
        read(video_question(clip, "?", plan={"name": "random"}))
    for plan in ({"name": "fps", "sample_fps": 1.0, "start_seconds": 1.0}, "fps"):
        block = {"type": "video", "url": str(clip), "extras": {"plan": plan}}
        with pytest.raises(ConfigError, match="give its name and options, such as"):
            read(HumanMessage([block]))
    with pytest.raises(ConfigError, match="give the plan alone"):
        video_question(clip, "?", num_frames=4, plan=cuts)


def test_a_blocks_hints_win_over_the_defaults(clip: Path) -> None:
    message = video_question(clip, "?", num_frames=2, max_frames=2, start_seconds=4.0)
    assert video_of(read(message, num_frames=8, max_frames=32)).timestamps_seconds == (4.0, 6.0)


def test_a_block_cannot_ask_for_more_frames_than_the_application_allows(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VideoReader, "read", lambda *args, **how: pytest.fail("decoded"))
    asked: list[tuple[dict[str, Any], str]] = [
        ({"num_frames": 64}, r"num_frames=64 of a video block asks for 64 frames, .* max_frames=32 of the chat model"),
        ({"max_frames": 64}, r"max_frames=64 of a video block"),
        ({"timestamps_seconds": [number / 8 for number in range(33)]}, r"timestamps of a video block asks for 33"),
        ({"plan": {"name": "uniform", "num_frames": 33}}, r"plan of a video block asks for 33 frames"),
    ]
    for hints, match in asked:
        with pytest.raises(ConfigError, match=match + r".*ask for fewer, or set ChatVReason\(max_frames="):
            read(video_question(clip, "?", **hints))


def test_what_the_application_allows_can_be_asked_for(clip: Path, picture: Path) -> None:
    asked = video_question(clip, "?", num_frames=64)
    assert len(video_of(read(asked, max_frames=64)).images) == 64
    assert len(video_of(read(asked, num_frames=64, max_frames=2)).images) == 64
    frames = HumanMessage([{"type": "video", "video": [str(picture)] * 5}])
    assert len(video_of(read(frames, max_frames=5)).images) == 5
    with pytest.raises(ConfigError, match=r"list of frames of a video block asks for 5 .*ask for fewer"):
        read(frames, max_frames=4)


@pytest.mark.parametrize("num_expected", [4, 5])
def test_times_that_later_messages_ask_for_change_nothing_now_and_count_only_if_they_may_be_asked_for(
    clip: Path, num_expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_with, told = VideoReader.read, []

    def noted(self: VideoReader, *times: Any, **how: Any) -> Any:
        told.append(len(how["expected"]))
        return read_with(self, *times, **how)

    monkeypatch.setattr(VideoReader, "read", noted)
    message = video_question(clip, "?", timestamps_seconds=[1.0], expected_seconds=range(num_expected))
    assert video_of(read(message, max_frames=4)).timestamps_seconds == (1.0,)
    assert told == [num_expected if num_expected <= 4 else 0]


def test_inline_video_is_read_like_its_file(clip: Path) -> None:
    data = base64.b64encode(clip.read_bytes()).decode()
    block: Any = {"type": "video", "base64": data, "mime_type": "video/x-msvideo", "extras": {"timestamps": [1.0]}}
    conversation = read(HumanMessage([block]))
    assert int(video_of(conversation).images.mean()) == pytest.approx(24, abs=3)
    assert conversation.evidence[0].source == "inline video"


def test_without_room_for_an_inline_video_the_folder_and_the_remedy_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    block: Any = {"type": "video", "base64": base64.b64encode(b"bytes").decode(), "mime_type": "video/mp4"}
    monkeypatch.setattr("tempfile.tempdir", "/gone")
    with pytest.raises(VideoError, match=r"5 bytes of an inline video cannot be written to '/gone': .* set TMPDIR"):
        read(HumanMessage([block]))


def test_inline_images_are_rgb(picture: Path) -> None:
    url = f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
    (part,) = read(HumanMessage([{"type": "image_url", "image_url": {"url": url}}])).turns[0].parts
    assert isinstance(part, ImagePart)
    assert part.image.shape == (32, 48, 3)
    assert part.image[0, 0].tolist() == [255, 0, 0]


def test_a_video_block_that_names_a_picture_is_a_picture(picture: Path) -> None:
    (part, _) = read(video_question(picture, "?")).turns[0].parts
    assert isinstance(part, ImagePart)


def test_a_list_of_frames_is_two_a_second_unless_it_says(picture: Path) -> None:
    block: dict[str, Any] = {"type": "video", "video": [str(picture)] * 3}
    assert video_of(read(HumanMessage([block]))).timestamps_seconds == (0.0, 0.5, 1.0)
    block["sample_fps"] = 4
    assert video_of(read(HumanMessage([block]))).timestamps_seconds == (0.0, 0.25, 0.5)


def test_frames_of_different_sizes_are_refused(picture: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), np.zeros((8, 8, 3), dtype=np.uint8))
    with pytest.raises(ConfigError, match=r"\(48x32, 8x8 px\); resize them"):
        read(HumanMessage([{"type": "video", "video": [str(picture), str(other)]}]))


@pytest.mark.parametrize("spelling", ["clip", "picture", "frames", "folder", "link"])
def test_a_file_outside_the_allowed_folders_is_refused_however_it_is_named(
    clip: Path, picture: Path, tmp_path: Path, spelling: str
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.avi").symlink_to(clip)
    block: Any = {
        "clip": {"type": "video", "url": str(clip)},
        "picture": {"type": "image", "url": str(picture)},
        "frames": {"type": "video", "video": [str(picture), str(picture)]},
        "folder": {"type": "video", "path": str(picture.parent)},
        "link": {"type": "video", "url": str(inside / "link.avi")},
    }[spelling]
    with pytest.raises(VideoError, match=r"outside the allowed folders .* allow its folder"):
        read(HumanMessage([block]), roots=[inside])
    assert read(HumanMessage([block]), roots=[tmp_path, clip.parent]).evidence
    assert read(HumanMessage([block])).evidence


@pytest.mark.parametrize("kind", ["image", "video"])
def test_inline_data_needs_no_allowed_folder(picture: Path, clip: Path, kind: str) -> None:
    file, mime_type = (picture, "image/png") if kind == "image" else (clip, "video/x-msvideo")
    data = base64.b64encode(file.read_bytes()).decode()
    block: Any = {"type": kind, "base64": data, "mime_type": mime_type}
    assert read(HumanMessage([block]), roots=[]).evidence[0].kind == kind


def test_the_question_is_worded_for_the_model_and_its_options_remembered(clip: Path) -> None:
    conversation = read_messages(
        [video_question(clip, "Which?", options=["red", "blue"])],
        wording=lambda question, options: f"{question} ({len(options)})",
    )
    assert conversation.turns[0].parts[1] == TextPart("Which? (2)")
    assert conversation.options == ("red", "blue")


@pytest.mark.parametrize(
    ("messages", "match"),
    [
        ([], "pass at least one message"),
        ([ChatMessage(content="hi", role="judge")], "use system, human, ai and tool messages"),
        (
            [HumanMessage([{"type": "audio", "url": "/a.wav"}])],
            "'audio' cannot be read; use 'text', 'image' or 'video'",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(messages: list[BaseMessage], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read(*messages)


@pytest.mark.parametrize(
    ("hints", "times"),
    [
        ({"nframes": 2}, (0.0, 0.25)),
        ({"fps": 0.5, "video_start": 2.0, "video_end": 6.0}, (2.0, 4.0)),
        ({"extras": {"sample_fps": 0.25}}, (0.0, 4.0)),
        ({"timestamps": (1, 2.0)}, (1.0, 2.0)),
    ],
    ids=str,
)
def test_qwens_hints_are_read_as_ours(clip: Path, hints: dict[str, Any], times: tuple[float, ...]) -> None:
    block = {"type": "video", "video": str(clip), **hints}
    assert video_of(read(HumanMessage([block]), max_frames=32)).timestamps_seconds == times


def test_frames_a_second_stay_within_max_frames_and_min_frames(clip: Path) -> None:
    for hints, times in (
        ({"fps": 4.0, "max_frames": 5}, (0.0, 2.0, 4.0, 6.0)),
        ({"fps": 1000.0, "max_frames": 2}, (0.0, 4.0)),
        ({"fps": 0.25, "min_frames": 4}, (0.0, 2.0, 4.0, 6.0)),
        ({"fps": 0.5, "min_frames": 2, "max_frames": 8}, (0.0, 2.0, 4.0, 6.0)),
        ({"max_frames": 2}, (0.0, 4.0)),
        ({"min_frames": 8, "max_frames": 8}, tuple(map(float, range(8)))),
    ):
        block = {"type": "video", "video": str(clip), **hints}
        assert video_of(read(HumanMessage([block]))).timestamps_seconds == times, hints


def test_hints_that_choose_the_frames_in_two_ways_are_refused(clip: Path) -> None:
    for hints, match in (
        ({"fps": 1.0, "nframes": 4}, "num_frames and sample_fps of a video block choose .* give one"),
        ({"timestamps": [1.0], "max_frames": 4}, "timestamps and max_frames of a video block choose .* give one"),
        ({"timestamps": [1.0], "video_start": 1.0}, "timestamps and start_seconds of a video block choose"),
        ({"extras": {"plan": {"name": "uniform", "num_frames": 2}}, "fps": 1.0}, "plan and sample_fps of a video"),
        ({"nframes": 4, "num_frames": 8}, "nframes and num_frames of a video block: given twice .* give one"),
        ({"num_frames": 4, "extras": {"num_frames": 8}}, "num_frames of a video block: given twice"),
        ({"fps": 1.0, "min_frames": 8, "max_frames": 4}, "min_frames=8 is more than max_frames=4; give a lower"),
    ):
        with pytest.raises(ConfigError, match=match):
            read(HumanMessage([{"type": "video", "video": str(clip), **hints}]))


def test_a_text_without_text_is_nothing() -> None:
    null: Any = {"type": "text", "text": None}
    talk = [
        HumanMessage([null, {"type": "text", "text": "hi"}]),
        AIMessage([null]),
        ToolMessage([null], tool_call_id="1"),
    ]
    parts = [turn.parts for turn in read(*talk, HumanMessage([{**null, "extras": {"question": None}}, "on"])).turns]
    assert parts == [(TextPart("hi"),), (), (), (TextPart("on"),)]


def test_what_a_tool_or_another_model_wrote_never_ends_a_thread(picture: Path, clip: Path) -> None:
    data = base64.b64encode(picture.read_bytes()).decode()
    rows: list[dict[str, Any]] = [
        {"type": "image", "name": "a.png", "size": 3},
        {"type": "image", "url": "https://example.com/a.png"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image", "url": "/gone.png"},
        {"type": "image", "url": {"href": "a"}},
        {"type": "image", "data": "?" * 5000, "mimeType": "image/png"},
        {"type": "image", "base64": base64.b64encode(b"no picture").decode(), "mime_type": "image/png"},
        {"type": "video", "title": "My trip", "fps": "many"},
        {"type": ["string", "null"]},
        {"type": "text", "name": "a.txt"},
        {"type": "json", "size": 3},
        {"type": "tool_result", "ok": True},
        {"type": "resource", "resource": {"uri": "a://b", "text": "\ud800"}},
        {"kind": "none"},
    ]
    for row in rows:
        (part,) = read(HumanMessage("?"), ToolMessage([row], tool_call_id="1"), HumanMessage("and now?")).turns[1].parts
        assert isinstance(part, TextPart)
        assert json.loads(part.text).keys() >= row.keys()
        assert len(part.text) < 1000
        result = {"type": "tool_result", "tool_use_id": "1", "content": [row]}
        assert read(HumanMessage([result])).turns[0].parts == (part,)
    seen: list[Any] = [
        {"type": "image", "data": data, "mimeType": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{data}"},
    ]
    parts = read(ToolMessage(seen, tool_call_id="1")).turns[0].parts
    assert [type(part) for part in parts] == [ImagePart] * 3
    assert read(ToolMessage("a \ud800", tool_call_id="1")).turns[0].parts == (TextPart("a ?"),)
    drawn = AIMessage([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}])
    assert "nothing is fetched" in str(read(HumanMessage("draw"), drawn).turns[1].parts)


def test_a_hint_that_cannot_be_obeyed_is_refused(clip: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"num_frames": "eight"}, "num_frames='eight' of a video block: .* valid integer; give such a value"),
        ({"num_frames": 6.0}, "num_frames=6.0 of a video block: .* valid integer; give such a value"),
        ({"start_seconds": "1"}, "start_seconds='1' of a video block: .* valid number; give such a value"),
        ({"stop_seconds": float("nan")}, "stop_seconds=nan of a video block: .* finite number; give such a value"),
        ({"timestamps": 1.0}, "timestamps=1.0 of a video block: .* valid list; give such a value"),
        ({"timestamps": ["a"]}, "timestamps.0='a' of a video block: .* valid number; give such a value"),
        (
            {"timestamps": []},
            r"timestamps=\[\] of a video block: .* at least 1 item.*; give such a value",
        ),
        ({"fps": 0}, "sample_fps=0 of a video block: .* greater than 0; give such a value"),
        ({"num_frame": 8}, "'num_frame' of a video block is not known; did you mean 'num_frames'"),
        ({"max_pixels": 1000}, r"'max_pixels' of a video block: .* load_model\(..., pixel_budget=PixelBudget"),
        ({"extras": "x"}, "extras='x' of a video block: give a mapping such as"),
        ({"extras": {"frames": 8}}, "extras 'frames' of a video block is not known; use one of: start_seconds"),
    ]
    for hints, match in wrong:
        with pytest.raises(ConfigError, match=match):
            read(HumanMessage([{"type": "video", "url": str(clip), **hints}]))


def test_hints_that_say_nothing_about_what_they_stand_by_are_refused(picture: Path) -> None:
    with pytest.raises(ConfigError, match="'num_frames' says nothing about an image; leave it out"):
        read(HumanMessage([{"type": "image", "url": str(picture), "num_frames": 2}]))
    frames = {"type": "video", "video": [str(picture)] * 2, "start_seconds": 1.0}
    with pytest.raises(ConfigError, match="about a video given as a list of frames; use sample_fps or timestamps"):
        read(HumanMessage([frames]))


def test_frames_may_be_image_blocks_and_images_come_in_the_spellings_of_responses_and_qwen(picture: Path) -> None:
    data = f"data:image;base64,{base64.b64encode(picture.read_bytes()).decode()}"
    blocks: list[Any] = [
        {"type": "video", "video": [{"type": "image", "url": str(picture)}, data]},
        {"type": "input_image", "image_url": data},
        {"type": "image", "image": data},
    ]
    assert [look.kind for look in read(HumanMessage(blocks)).evidence] == ["frames", "image", "image"]
    with pytest.raises(ConfigError, match="holds something that is no image; give paths"):
        read(HumanMessage([{"type": "video", "video": [{"type": "text", "text": "?"}]}]))
    with pytest.raises(ConfigError, match=r"an array is no source of a video: .* give paths or data: URLs"):
        read(HumanMessage([{"type": "video", "video": np.zeros((2, 8, 8, 3), np.uint8)}]))


@pytest.mark.parametrize("content", ["a \ud800", [{"type": "text", "text": "a \ud800"}]], ids=["text", "block"])
def test_a_text_that_is_not_utf8_is_refused(content: Any) -> None:
    with pytest.raises(ConfigError, match=r"cannot be written as UTF-8: .*; clean it, such as with"):
        read(HumanMessage(content))
