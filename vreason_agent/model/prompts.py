"""The default question prompts; `vreason_agent.answers` reads the replies.

Both are defaults: `load_model(..., question_prompt=..., answer_parser=...)` replaces them. This module does not know
about models, tokens or chat templates.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeAlias

from vreason_agent.answers import ParsedAnswer, option_label, parse_answer
from vreason_agent.errors import ConfigError, quote

__all__ = ["AnswerParser", "ParsedAnswer", "QuestionPrompt", "parse_answer", "plain_prompt", "reasoning_prompt"]

QuestionPrompt: TypeAlias = Callable[[str, Sequence[str]], str]
"""Question and options to the text of the user's turn."""
AnswerParser: TypeAlias = Callable[[str, Sequence[str]], ParsedAnswer]
"""Generated text and options to the answer."""

_SEPARATOR = " / "


def reasoning_prompt(question: str, options: Sequence[str] = ()) -> str:
    """The default for published models: think first, then answer; options under letters.

    An option of several lines is written as a JSON string, so that its lines are not taken for options.
    """
    lines = [question, *(["Options:"] if options else [])]
    for index, option in enumerate(options):
        written = option if len(option.splitlines()) <= 1 else json.dumps(option, ensure_ascii=False)
        lines.append(f"{option_label(index)}. {written}")
    form = "the letter of the one best option" if options else "a short answer, a word or a number where that suffices"
    lines += [
        "",
        "First think step by step about what the frames show and when, between <think> and </think>. "
        f"Then give {form} between <answer> and </answer>.",
    ]
    return "\n".join(lines)


def plain_prompt(question: str, options: Sequence[str] = ()) -> str:
    """The bundled model's prompt: it was trained to think without being told to, and on options between slashes.

    Raises:
        ConfigError: an option holds the slash or a line break, so that it could not be told from its neighbors.
    """
    for option in options:
        if _SEPARATOR in f" {option} " or len(option.splitlines()) > 1:
            raise ConfigError(
                f"option {quote(option)} holds {_SEPARATOR!r} or a line break, which is what this model's prompt puts "
                "between options. Write it without, for example 'a/b' for 'a / b', or pass "
                "load_model(..., question_prompt=reasoning_prompt), which writes options under letters"
            )
    return f"{question}\nOptions: {_SEPARATOR.join(options)}" if options else question
