"""Claims about the tokenizer of the bundled model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from vreason_agent.tiny.questions import ANSWERS, NOT_SHOWN
from vreason_agent.tiny.scene import CELLS, COLORS, SHAPES
from vreason_agent.tiny.tokenizer import MARKS, SPECIAL_TOKENS, build_tokenizer, save_tokenizer

TOKENIZER = build_tokenizer()


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


@pytest.mark.parametrize(
    "text", ["😀 漢字 ñ", "a\x00\x07\t\r\n b", "  two  spaces  ", "12.55.5 1.2.3", "<think>x</think><|im_end|>"]
)
def test_hard_texts_come_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids, skip_special_tokens=False) == text


def test_every_time_is_one_token() -> None:
    assert all(len(TOKENIZER.encode(f"{tenths / 10:.1f}").ids) == 1 for tenths in range(601))


def test_the_worlds_words_are_one_token_each() -> None:
    words = [*COLORS, *SHAPES, *CELLS, "on", "off", *ANSWERS["direction"], *ANSWERS["count"], *ANSWERS["blink"]]
    assert all(len(TOKENIZER.encode(f" {word}").ids) == 1 for word in words)
    assert len(TOKENIZER.encode(NOT_SHOWN).ids) == 2


def test_marks_and_special_tokens_are_one_token_each() -> None:
    assert all(len(TOKENIZER.encode(token).ids) == 1 for token in (*MARKS, *SPECIAL_TOKENS))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    """The tokenizer as transformers loads it from a folder."""
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(Path(folder))
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    return loaded


def test_the_chat_template_places_video_and_text(saved: PreTrainedTokenizerBase) -> None:
    messages: Any = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "What?"}]}]
    text = saved.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert (
        text == "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_reasoning_marks_survive_the_removal_of_special_tokens(saved: PreTrainedTokenizerBase) -> None:
    ids = saved.encode("<think>a</think><answer>red</answer><|im_end|>", add_special_tokens=False)
    assert saved.decode(ids, skip_special_tokens=True) == "<think>a</think><answer>red</answer>"
