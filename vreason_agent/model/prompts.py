"""The default question prompts; `vreason_agent.answers` reads the replies.

Both are defaults: `load_model(..., question_prompt=..., answer_parser=...)` replaces them. This module does not know
about models, tokens or chat templates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from vreason_agent.answers import ParsedAnswer, option_label, parse_answer

__all__ = ["AnswerParser", "ParsedAnswer", "QuestionPrompt", "parse_answer", "plain_prompt", "reasoning_prompt"]

QuestionPrompt: TypeAlias = Callable[[str, Sequence[str]], str]
"""Question and options to the text of the user's turn."""
AnswerParser: TypeAlias = Callable[[str, Sequence[str]], ParsedAnswer]
"""Generated text and options to the answer."""


def reasoning_prompt(question: str, options: Sequence[str] = ()) -> str:
    """The default for published models: think first, then answer; options under letters."""
    lines = [question, *(["Options:"] if options else [])]
    lines += [f"{option_label(index)}. {option}" for index, option in enumerate(options)]
    form = "the letter of the one best option" if options else "a short answer, a word or a number where that suffices"
    lines += [
        "",
        "First think step by step about what the frames show and when, between <think> and </think>. "
        f"Then give {form} between <answer> and </answer>.",
    ]
    return "\n".join(lines)


def plain_prompt(question: str, options: Sequence[str] = ()) -> str:
    """The bundled model's prompt: it was trained to think without being told to."""
    return f"{question}\nOptions: {' / '.join(options)}" if options else question
