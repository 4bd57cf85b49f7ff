"""How likely a model finds each option, before it reasons and where it answers.

Labels are written as the model's prompt asks for them, letters or texts, in the answer's place; what follows an answer
that is no letter counts too, so that no option wins by being the beginning of another. This module knows tokenizers,
and no model class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vreason_agent.answers import find_answer, option_label, same_answer
from vreason_agent.decoding.continuations import Branch
from vreason_agent.model.prompts import QuestionPrompt

OPENING, CLOSING, END_OF_REASONING = "<answer>", "</answer>", "\n</think>\n\n"


@dataclass(frozen=True)
class OptionTexts:
    """Writes options as tokens for one model."""

    tokenizer: Any
    question_prompt: QuestionPrompt

    def branches(
        self,
        options: Sequence[str],
        text: str,
        token_ids: Sequence[int],
        token_texts: Sequence[str],
        *,
        num_prompt_entries: int,
        last_prompt_id: int,
        starts_in_reasoning: bool,
    ) -> list[Branch]:
        """Return the place before the reasoning, and the answer's, where there is one.

        Args:
            options: At least two texts.
            text: What was generated.
            token_ids: The generated tokens.
            token_texts: What each of them added to the text.
            num_prompt_entries: Cache entries of the prompt, padding counted.
            last_prompt_id: The prompt's last token.
            starts_in_reasoning: Whether the prompt ends inside the reasoning.
        """
        start, stop = find_answer(text)
        labels, are_letters = self._labels(options, text[start:stop])
        opening = (END_OF_REASONING if starts_in_reasoning else "") + OPENING
        end = "" if are_letters else CLOSING
        before = tuple(self._encode(label + end) for label in labels)
        branches = [Branch(num_prompt_entries, 0, self._encode(opening), before)]
        place = None if start == stop else _token_at(token_texts, start)
        if place is None:
            return branches
        first, lead = place
        end = "" if are_letters else CLOSING if text.startswith(CLOSING, stop) else text[stop : stop + 1]
        previous = token_ids[first - 1] if first else last_prompt_id
        after = tuple(self._encode(lead + label + end) for label in labels)
        return [*branches, Branch(num_prompt_entries + first - 1, first - 1, (previous,), after)]

    def _labels(self, options: Sequence[str], answer: str) -> tuple[list[str], bool]:
        """Return what is written for options: their texts where the answer is one, else what the prompt asks for.

        That is letters where it lists the options under them.
        """
        letters = [option_label(index) for index in range(len(options))]
        asked = self.question_prompt("?", options)
        is_text = any(same_answer({"text": option}, {"text": answer}) for option in options)
        are_letters = not is_text and all(f"\n{letter}. " in asked for letter in letters)
        return (letters if are_letters else list(options)), are_letters

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))


def _token_at(token_texts: Sequence[str], start: int) -> tuple[int, str] | None:
    """Return the token that holds a character, and its text before that character."""
    position = 0
    for index, text in enumerate(token_texts):
        if position <= start < position + len(text):
            return index, text[: start - position]
        position += len(text)
    return None
