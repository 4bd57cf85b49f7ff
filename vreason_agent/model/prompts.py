"""The default question prompts, and the parser that reads an answer out of what a model wrote.

Both are defaults: `load_model(..., question_prompt=..., answer_parser=...)` replaces them. An answer that cannot be
read is `None`, never a guess.

This module does not know about models, tokens or chat templates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import NamedTuple, TypeAlias

from vreason_agent.errors import ConfigError

__all__ = ["AnswerParser", "ParsedAnswer", "QuestionPrompt", "parse_answer", "plain_prompt", "reasoning_prompt"]

QuestionPrompt: TypeAlias = Callable[[str, Sequence[str]], str]
"""Question and options to the text of the user's turn."""
AnswerParser: TypeAlias = Callable[[str, Sequence[str]], "ParsedAnswer"]
"""Generated text and options to the answer."""

MAX_BARE_ANSWER_CHARS = 80
"""An answer without any mark must be one line of at most this length."""

_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_SAID = re.compile(
    r"(?:\banswer\s+is\s*:?|\banswer\s*:|\bcorrect\s+(?:option|choice)\s+is\s*:?)[\s*]*(.+?)(?=[*]*(?:\.(?=\s|$)|\n|$))",
    re.IGNORECASE,
)
_LETTER = re.compile(r"(?:option\s+|choice\s+)?[(\[]?([A-Z])(?:[)\].:]+|$)\s*(.*)", re.DOTALL | re.IGNORECASE)
_OTHER_LETTER = re.compile(r"(?<!\w)[b-z][)\].:]|(?<!\w)(?:and|or) [a-z](?!\w)|(?<!\w)[b-z] is (?!\w*ing)")
_DENIAL = re.compile(r"(?<!\w)(?:not|no|never|neither|n't)(?!\w)")
_LETTER_AND_TEXT = re.compile(r"([A-Z])\s+(.*)", re.DOTALL)


@dataclass(frozen=True)
class ParsedAnswer:
    """What was read out of a generated text.

    Attributes:
        reasoning: the thinking, `""` if there is none.
        answer: the final answer, with options the text of the chosen one; `None` if it cannot be read.
        choice: letter of the chosen option, `A` being the first; `None` without options or answer.
        answer_span: characters `[start, stop)` of the text that the answer was read from; `None` without answer.
    """

    reasoning: str
    answer: str | None
    choice: str | None
    answer_span: tuple[int, int] | None


class _Found(NamedTuple):
    """Where an answer stands: `mark` is where what announces it begins."""

    mark: int
    start: int
    stop: int


def reasoning_prompt(question: str, options: Sequence[str] = ()) -> str:
    """The default for published models: think first, then answer; options under letters.

    Raises:
        ConfigError: more options than letters.
    """
    _check_options(options)
    lines = [question, *(["Options:"] if options else [])]
    lines += [f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False)]
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


def parse_answer(text: str, options: Sequence[str] = ()) -> ParsedAnswer:
    r"""Read reasoning and answer out of a generated text.

    Looks for, in this order: the last `<answer>` tag, the last `\boxed{}`, the last "the answer is ...", and, where
    nothing of that is found, a bare answer: one short line after the thinking. With options the answer must name one of
    them, by letter or by text; what names none or several is unread.

    Args:
        text: what the model wrote, special tokens removed.
        options: the texts to choose from, at most 26; empty for an open question.

    Raises:
        ConfigError: more options than letters.
    """
    _check_options(options)
    found = _find_answer(text)
    reasoning = _reasoning(text, found)
    if found is None:
        return ParsedAnswer(reasoning, None, None, None)
    span = (found.start, found.stop)
    answer = text[slice(*span)]
    if not options:
        return ParsedAnswer(reasoning, answer, None, span)
    index = _option_index(answer, options)
    if index is None:
        return ParsedAnswer(reasoning, None, None, None)
    return ParsedAnswer(reasoning, options[index], ascii_uppercase[index], span)


def _check_options(options: Sequence[str]) -> None:
    if len(options) > len(ascii_uppercase):
        raise ConfigError(f"{len(options)} options: there are letters for 26 only; give at most 26 options")


def _find_answer(text: str) -> _Found | None:
    think_stop = text.rfind("</think>")
    after = think_stop + len("</think>") if think_stop >= 0 else 0
    is_thinking = think_stop < 0 and "<think>" in text
    tagged = _tagged(text, after)
    if tagged is not None or is_thinking or "<answer>" in text[after:]:
        return tagged
    return _boxed(text, after) or _said(text, after) or _bare(text, after)


def _reasoning(text: str, found: _Found | None) -> str:
    think_stop = text.rfind("</think>")
    if think_stop >= 0:
        return text[:think_stop].partition("<think>")[2 if "<think>" in text[:think_stop] else 0].strip()
    before = text if found is None else text[: found.mark]
    if "<think>" in before:
        return before.partition("<think>")[2].strip()
    return before.strip() if found else ""


def _tagged(text: str, start: int) -> _Found | None:
    matches = [*_ANSWER.finditer(text, start)]
    return _trimmed(text, matches[-1].start(), *matches[-1].span(1)) if matches else None


def _boxed(text: str, start: int) -> _Found | None:
    mark = text.rfind("\\boxed{", start)
    begin = mark + len("\\boxed{")
    depth = 1
    for stop in range(begin, len(text) if mark >= 0 else begin):
        depth += {"{": 1, "}": -1}.get(text[stop], 0)
        if depth == 0:
            return _trimmed(text, mark, begin, stop)
    return None


def _said(text: str, start: int) -> _Found | None:
    matches = [*_SAID.finditer(text, start)]
    return _trimmed(text, matches[-1].start(), *matches[-1].span(1)) if matches else None


def _bare(text: str, start: int) -> _Found | None:
    found = _trimmed(text, start, start, len(text))
    if found is None or "\n" in text[found.start : found.stop] or found.stop - found.start > MAX_BARE_ANSWER_CHARS:
        return None
    return found


def _trimmed(text: str, mark: int, start: int, stop: int) -> _Found | None:
    """Leave white space and emphasis out; `None` if nothing is left."""
    inner = text[start:stop]
    left = len(inner) - len(inner.lstrip(" \t\r\n*"))
    right = len(inner.rstrip(" \t\r\n*"))
    return _Found(mark, start + left, start + right) if left < right else None


def _option_index(answer: str, options: Sequence[str]) -> int | None:
    wanted, texts = _normal(answer), [_normal(option) for option in options]
    if wanted in texts:
        return texts.index(wanted)
    match = _LETTER.fullmatch(answer) or _LETTER_AND_TEXT.fullmatch(answer)
    if match and (match.re is _LETTER or _normal(match[2]) in texts):
        return _lettered(match[1], _normal(match[2]), texts)
    named = _named(wanted, texts)
    only = next(iter(named)) if len(named) == 1 else None
    return None if only is None or _DENIAL.search(wanted.replace(only, "")) else texts.index(only)


def _lettered(letter: str, rest: str, texts: Sequence[str]) -> int | None:
    """The option of a letter, unless the words beside it name or letter another option, or deny something."""
    index = ascii_uppercase.index(letter.upper())
    if index >= len(texts):
        return None
    if rest in ("", texts[index]):
        return index
    others = _named(rest, texts) - {texts[index]} or _OTHER_LETTER.search(rest)
    return None if others or _DENIAL.search(rest.replace(texts[index], "")) else index


def _named(text: str, options: Sequence[str]) -> set[str]:
    """The options whose words are in a text; one that is part of another one found counts as that one."""
    found = [option for option in options if option and re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text)]
    return {option for option in found if not any(option != other and option in other for other in found)}


def _normal(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .,;:!?\"'()[]")
