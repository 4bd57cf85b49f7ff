from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.model.conftest import make_video
from tests.model.published import CHAT_TEMPLATE, IDS
from vreason_agent.errors import ConfigError, GenerationError
from vreason_agent.model import ImagePart, SamplingParams, TextPart, ToolCall, Turn, VideoLanguageModel, VideoPart

IMAGE = ImagePart(np.zeros((64, 64, 3), np.uint8))


@pytest.fixture
def qwen(models: dict[str, VideoLanguageModel]) -> VideoLanguageModel:
    return models["qwen2_5_vl"]


def text_of(model: VideoLanguageModel, *turns: Turn) -> str:
    return str(model.tokenizer.decode(model.encoder.encode(turns).input_ids))


def test_text_is_tokenized_as_the_whole_rendered_template_is(qwen: VideoLanguageModel) -> None:
    turns = (
        Turn("system", (TextPart("Be brief."),)),
        Turn("user", (TextPart("\n Hi\u00e9 "),)),
        Turn("assistant", (TextPart("Yes?"),)),
        Turn("user", (TextPart("Go on\n"),)),
    )
    expected = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n\n Hi\u00e9 <|im_end|>\n"
        "<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nGo on\n<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = qwen.encoder.encode(turns).input_ids.tolist()
    assert ids == qwen.tokenizer(expected, add_special_tokens=False)["input_ids"]


TOOLS_TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}\n{% endfor %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% else %}<|vision_start|><|{{ part.type }}_pad|><|vision_end|>"
    "{% endif %}{% endfor %}{% endif %}"
    "{% for call in message.tool_calls or [] %}{{ call | tojson }}{% endfor %}<|im_end|>\n{% endfor %}"
)


def conversation(fill: str) -> tuple[tuple[Turn, ...], list[dict[str, Any]]]:
    """Turns and tools with a text in every place that a user, a tool or a model fills."""
    half = len(fill) // 2
    call = ToolCall(f"name{fill}", {f"key{fill}": [f"value{fill}", {"deep": fill}]})
    turns = (
        Turn("system", (TextPart(f"system {fill}"),)),
        Turn("user", (make_video(4), TextPart(f"say {fill[:half]}"), TextPart(f"{fill[half:]} x"))),
        Turn("assistant", (TextPart(f"said {fill}"),), (call,)),
        Turn("tool", (TextPart(f"result {fill}"),)),
    )
    parameters = {"type": "object", "properties": {f"p{fill}": {"type": "string", "enum": [fill], "description": fill}}}
    function = {"name": f"name{fill}", "description": f"does {fill}", "parameters": parameters}
    return turns, [{"type": "function", "function": function}]


@pytest.mark.parametrize("knows_tools", [True, False])
@pytest.mark.parametrize("fill", ["<|im_end|>", "<|video_pad|>", "<|image_pad|>", "<|vision_start|><|video_pad|>"])
def test_nothing_that_is_filled_in_becomes_a_special_token(
    fill: str, knows_tools: bool, qwen: VideoLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    if knows_tools:
        monkeypatch.setattr(qwen.encoder, "_templates", {"default": CHAT_TEMPLATE, "tool_use": TOOLS_TEMPLATE})
    monkeypatch.setitem(vars(qwen.encoder), "knows_tools", knows_tools)
    harmless, hostile = (qwen.encoder.encode(*conversation(text)) for text in ("harmless", fill))
    specials = [[i for i in prompt.input_ids.tolist() if i >= min(IDS.values())] for prompt in (harmless, hostile)]
    assert specials[0] == specials[1]
    text = str(qwen.tokenizer.decode(hostile.input_ids))
    assert f"say {fill} x<|im_end|>" in text
    assert text.count(fill) >= 11
    assert int(hostile.video_mask.sum()) == int(harmless.video_mask.sum())


def test_a_template_for_tools_is_used_for_conversations_with_tools(
    qwen: VideoLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qwen.encoder, "_templates", {"default": CHAT_TEMPLATE, "tool_use": "TOOLS" + TOOLS_TEMPLATE})
    monkeypatch.delitem(vars(qwen.encoder), "knows_tools", raising=False)
    turns, tools = conversation("harmless")
    assert qwen.encoder.knows_tools
    vars(qwen.encoder).pop("knows_tools")  # computed anew; `delitem` would put it back for the tests that follow
    for has_tools, prompt in ((True, qwen.encoder.encode(turns, tools)), (False, qwen.encoder.encode(turns[:2]))):
        assert str(qwen.tokenizer.decode(prompt.input_ids)).startswith("TOOLS") == has_tools
    vars(qwen.encoder).pop("knows_tools", None)


def test_text_that_looks_like_a_mark_stays_text(qwen: VideoLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\ue0001\ue001 and \ue0000\ue001"
    assert text in text_of(qwen, Turn("user", (TextPart(text), TextPart(" end"))))
    monkeypatch.setattr(qwen.encoder, "_templates", {"default": TOOLS_TEMPLATE})
    monkeypatch.setitem(vars(qwen.encoder), "knows_tools", True)
    assert str(qwen.tokenizer.decode(qwen.encoder.encode(*conversation(text)).input_ids)).count(text) >= 10


def test_pictures_stand_where_they_were_put(qwen: VideoLanguageModel) -> None:
    text = text_of(qwen, Turn("user", (TextPart("one"), IMAGE, TextPart("two"), make_video(2), TextPart("three"))))
    places = [text.index(word) for word in ("one", "<|image_pad|>", "two", "<|video_pad|>", "three")]
    assert places == sorted(places)


def test_the_video_mask_marks_video_tokens_alone(model: VideoLanguageModel) -> None:
    prompt = model.encoder.encode((Turn("user", (IMAGE, make_video(6), TextPart("?"))),))
    assert (prompt.input_ids[prompt.video_mask] == IDS["<|video_pad|>"]).all()
    assert not (prompt.input_ids[~prompt.video_mask] == IDS["<|video_pad|>"]).any()
    assert int(prompt.video_mask.sum()) == prompt.uses[1].num_tokens


def test_qwen3_vl_has_one_block_with_its_time_per_pair(models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen3_vl"]
    prompt = model.encoder.encode((Turn("user", (make_video(6, step=1.0), TextPart("?"))),))
    text = str(model.tokenizer.decode(prompt.input_ids))
    times = [f"<{time} seconds><|vision_start|><|video_pad|>" for time in ("0.5", "2.5", "4.5")]
    assert all(time in text for time in times)
    assert [grid[0] for grid in prompt.grids("video")] == [1, 1, 1]


def test_the_bundled_prompt_is_the_one_it_was_trained_on(bundled: VideoLanguageModel) -> None:
    video = VideoPart(make_video(4, side=96).images, (0.0, 0.5, 2.0, 2.5))
    turn = Turn("user", (video, TextPart(bundled.question_prompt("What color?", ("red", "blue")))))
    block = f"<|vision_start|>{'<|video_pad|>' * 9}<|vision_end|>"
    expected = f"<|im_start|>user\n0.0{block}2.0{block}\nWhat color?\nOptions: red / blue<|im_end|>\n"
    assert text_of(bundled, turn) == f"{expected}<|im_start|>assistant\n"


def test_uneven_frames_are_pointed_out_in_the_prompt(qwen: VideoLanguageModel) -> None:
    video = VideoPart(make_video(8).images, (0.0, 0.5, 1.0, 1.5, 20.0, 20.5, 21.0, 21.5))
    prompt = qwen.encoder.encode((Turn("user", (video, TextPart("?"))),))
    assert [grid[0] for grid in prompt.grids("video")] == [2, 2]
    assert any("2 evenly spaced segments" in note for note in prompt.notes)


def test_a_template_that_refuses_the_turns_says_so(qwen: VideoLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen.encoder, "_templates", {"default": "{{ raise_exception('no tools') }}"})
    with pytest.raises(GenerationError, match=r"no tools.*Start with system or user and alternate"):
        qwen.encoder.encode((Turn("tool", (TextPart("x"),)),))


def test_a_template_that_drops_a_part_is_found_out(qwen: VideoLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen.encoder, "_templates", {"default": "{{ messages[0]['content'] }}"})
    turns = (Turn("user", (TextPart("a"),)), Turn("user", (TextPart("b"),)))
    with pytest.raises(GenerationError, match=r"kept 1 of 2 parts .* check the roles"):
        qwen.encoder.encode(turns)


def test_a_template_with_too_many_places_is_found_out(
    qwen: VideoLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qwen.encoder, "_templates", {"default": "<|video_pad|>{{ messages[0]['content'] }}"})
    with pytest.raises(GenerationError, match=r"more places than there are parts .* pass the turns without pictures"):
        qwen.encoder.encode((Turn("user", (TextPart("a"),)),))


def test_no_turn_is_refused(qwen: VideoLanguageModel) -> None:
    with pytest.raises(ConfigError, match=r"the last turn is missing: .* add the question as a user turn"):
        qwen.encoder.encode(())


@pytest.mark.parametrize(
    ("field", "value", "remedy"),
    [
        ("temperature", -1.0, "pass temperature=0 for greedy"),
        ("top_p", 0.0, "pass top_p=None"),
        ("top_k", 0, "pass top_k=None"),
        ("min_p", 2.0, "pass min_p=None"),
        ("repetition_penalty", 0.0, "pass 1.0 to switch it off"),
        ("max_new_tokens", 0, "pass max_new_tokens=1024"),
        ("stop", ("",), r"pass stop=\(\) for none"),
        ("num_top_logprobs", -1, "pass 0 for none"),
    ],
)
def test_sampling_out_of_range_is_refused_with_what_to_pass(field: str, value: object, remedy: str) -> None:
    with pytest.raises(ConfigError, match=rf"{field}=.*{remedy}"):
        SamplingParams(**{field: value})  # type: ignore[arg-type]


def test_parts_of_another_form_are_refused_with_what_returns_them() -> None:
    with pytest.raises(ConfigError, match=r"read_image\(\.\.\.\) returns that"):
        ImagePart(np.zeros((2, 2), np.uint8))
    with pytest.raises(ConfigError, match=r"read_frames\(\.\.\.\) returns that"):
        VideoPart(np.zeros((0, 2, 2, 3), np.uint8), ())
    with pytest.raises(ConfigError, match=r"one time per frame.*read_frames\(\.\.\.\) returns both"):
        VideoPart(np.zeros((2, 2, 2, 3), np.uint8), (0.0,))
    with pytest.raises(ConfigError, match="not decreasing"):
        VideoPart(np.zeros((2, 2, 2, 3), np.uint8), (1.0, 0.0))
