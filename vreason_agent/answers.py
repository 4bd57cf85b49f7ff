r"""Reading an answer out of what a model wrote, and telling whether two answers are the same.

The rule for options: an exact match, else one clear statement, else *unread*. A reply states an option when, with the
option's text or letter taken out, nothing is left but words that add nothing ("the answer is", "it looks", 答案是).
Whatever else stands there, a denial, a second option, a piece of a larger number, leaves it unread: no answer is better
than one that was not given. `docs/answers.md` has the rules as a table of examples.

This module knows no model, no chat template and no question.
"""

# ruff: noqa: RUF001 (marks and letters of many scripts)

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from string import ascii_uppercase
from typing import Any, NamedTuple

__all__ = [
    "ParsedAnswer",
    "find_answer",
    "match_option",
    "normalize_answer",
    "option_label",
    "parse_answer",
    "repeated_option",
    "same_answer",
]

MAX_WORDING_CHARS = 200
MAX_BARE_ANSWER_CHARS = 80
"""Without options, an answer that nothing announces must be one line of at most this length."""


@dataclass(frozen=True)
class ParsedAnswer:
    """What was read out of a generated text.

    Attributes:
        reasoning: the thinking, `""` if there is none.
        answer: the final answer, with options the text of the chosen one; `None` if it cannot be read.
        choice: label of the chosen option, `A` being the first (see `option_label`); `None` without options or answer.
        answer_span: characters `[start, stop)` of the text that the answer was read from; `None` without answer.
    """

    reasoning: str
    answer: str | None
    choice: str | None
    answer_span: tuple[int, int] | None


def option_label(index: int) -> str:
    """Return the label of an option: A to Z for the first 26, then AA, AB and so on."""
    letters = ""
    while index >= 0:
        index, letter = divmod(index, 26)
        letters = ascii_uppercase[letter] + letters
        index -= 1
    return letters


def parse_answer(text: str, options: Sequence[str] = ()) -> ParsedAnswer:
    r"""Read reasoning and answer out of a generated text.

    The answer is what stands in the last `<answer>` tag, else in the last `\boxed{}`, else after the last "the answer
    is ...", else, where nothing announces one, all that follows the thinking, which without options must be one short
    line. With options it must state one of them (see `match_option`).

    Args:
        text: what the model wrote, special tokens removed.
        options: the texts to choose from; empty for an open question.
    """
    found = _find(text, options)
    reasoning = _read_reasoning(text, found)
    if found is None:
        return ParsedAnswer(reasoning, None, None, None)
    answer = text[found.start : found.stop]
    if not options:
        return ParsedAnswer(reasoning, answer, None, (found.start, found.stop))
    index = match_option(answer, options)
    if index is None:
        return ParsedAnswer(reasoning, None, None, None)
    return ParsedAnswer(reasoning, options[index], option_label(index), (found.start, found.stop))


def find_answer(text: str) -> tuple[int, int]:
    """Return the characters `[start, stop)` of the answer in any model's reply: as `parse_answer`, of any length."""
    found, start = _find(text), _thinking_stop(text)
    is_unanswered = _TAG.search(text, start) is not None or _is_thinking(text)
    whole = None if is_unanswered else _trim_span(text, start, start, len(text))
    return (found or whole or _Found(start, start, start))[1:]


def match_option(reply: str, options: Sequence[str]) -> int | None:
    """Return the index of the one option that a reply states, by its text or its label; `None` is unread.

    Args:
        reply: A model's answer, without its thinking.
        options: The texts to choose from. Where each has a mark of its own ("A. red"), text or mark suffice.
    """
    choices = _Options.of(options)
    stated = choices.match_exactly(reply) or choices.match_statement(reply) or choices.match_beginning(reply)
    return next(iter(stated)) if len(stated) == 1 else None


def normalize_answer(text: str) -> str:
    """Return the form in which equivalent answers are equal.

    Case, width, white space, punctuation around words and a leading article do not count, nor whether a number up to
    twenty is written in words, with thousands separators or with zeros behind its point. Nothing else is merged: "red"
    and "red circle" are different answers.
    """
    folded = re.sub(r"^(?:a|an|the) (?=\S)", "", _trim(_fold(text)).casefold())
    words = [_trim(word) for word in folded.split()]
    return " ".join(_DIGITS.get(word) or _canonical_number(word) for word in words if word)


def same_answer(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two answers, given as `text` and `choice`, are the same; an unread answer equals nothing.

    Choices are compared where both have one, else the texts after `normalize_answer`.
    """
    if one.get("choice") and other.get("choice"):
        return bool(one["choice"] == other["choice"])
    if one.get("text") is None or other.get("text") is None:
        return False
    return normalize_answer(one["text"]) == normalize_answer(other["text"])


def repeated_option(options: Sequence[str]) -> str | None:
    """Return the first option that repeats an earlier one, apart from case and surrounding space; `None` for none."""
    seen: set[str] = set()
    for option in options:
        if (key := option.strip().casefold()) in seen:
            return option
        seen.add(key)
    return None


# Where the answer stands.


class _Found(NamedTuple):
    """Where an answer stands: `mark` is where what announces it begins."""

    mark: int
    start: int
    stop: int


_TAG = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)
_ANNOUNCED = re.compile(
    r"(?:\banswer\s+(?:is|was|would\s+be|must\s+be|should\s+be)\b|\banswer\s*\**\s*[:：]"
    r"|\bcorrect\s+(?:option|choice)\s+is\b|答案\s*(?:[是为為]|(?=[:：]))|(?:答え|正解)\s*(?:は|(?=[:：]))|(?:정답|답)\s*(?:은|는|(?=[:：]))"
    r"|คำตอบ\s*(?:คือ|(?=[:：]))|\b(?:ответ|respuesta|réponse|antwort|resposta|risposta)\s*(?=[:：]))[ \t]*[:：]?[\s*]*",
    re.IGNORECASE,
)
_CLAUSE_MARK = r"[.,:;!?\n—。，：；！？]"
_CLAUSE_END = re.compile(rf"{_CLAUSE_MARK}|(?<!\w)(?:so|thus|therefore|hence|then|but|and|means)(?!\w)")
_SENTENCE_END = re.compile(r"[*]*(?:[.](?=\s|$)|。|\n|$)")
_CLEAR_SENTENCE_END = re.compile(r"[*]*(?:[.](?=\s*$|\s*\n|(?:\s+[^\s.]+){2}\s+\S)|。|\n|$)")
_WRAPPED = r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|boxed)\s*\{([^{}]*)\}|\$([^$]*)\$|\\\(([^$]*?)\\\)"
_LATEX = re.compile(_WRAPPED, re.DOTALL)


def _find(text: str, options: Sequence[str] = ()) -> _Found | None:
    start = _thinking_stop(text)
    if (tags := [*_TAG.finditer(text, start)]) or _is_thinking(text):
        return _trim_span(text, tags[-1].start(), *tags[-1].span(1)) if tags else None
    return _find_boxed(text, start) or _find_announced(text, start, options)


def _thinking_stop(text: str) -> int:
    stop = text.rfind("</think>")
    return stop + len("</think>") if stop >= 0 else 0


def _is_thinking(text: str) -> bool:
    return "<think>" in text and "</think>" not in text


def _read_reasoning(text: str, found: _Found | None) -> str:
    if "</think>" in text:
        before = text[: text.rfind("</think>")]
        return (before.partition("<think>")[2] or before).strip()
    before = text if found is None else text[: found.mark]
    if "<think>" in before:
        return before.partition("<think>")[2].strip()
    return before.strip() if found else ""


def _find_boxed(text: str, start: int) -> _Found | None:
    mark = text.rfind("\\boxed{", start)
    begin = mark + len("\\boxed{")
    depth = 1
    for stop in range(begin, len(text) if mark >= 0 else begin):
        depth += {"{": 1, "}": -1}.get(text[stop], 0)
        if depth == 0:
            is_denied = _denies_box(_lower(text[start:mark]), _lower(text[stop + 1 :]))
            return _Found(mark, mark, mark) if is_denied else _trim_span(text, mark, begin, stop)
    return None


def _denies_box(before: str, after: str) -> bool:
    """Whether the clauses around a box, or anything behind it, say that it does not hold what the model means."""
    lead, rest = _CLAUSE_END.split(before)[-1], after.lstrip(" $")
    is_denied = _DENIAL.search(lead) or (not _REASON.match(rest) and _DENIAL.search(_CLAUSE_END.split(rest)[0]))
    return bool(is_denied or re.search(r"\b(?:x?or|either|maybe|perhaps)\b", lead) or _RETRACTION.search(rest))


def _find_announced(text: str, start: int, options: Sequence[str]) -> _Found | None:
    """What follows the last "the answer is", unless its clause or what comes after takes it back; else all there is."""
    marks = [*_ANNOUNCED.finditer(text, start)]
    if not marks:
        whole = _trim_span(text, start, start, len(text))
        is_short = whole is not None and "\n" not in text[whole.start : whole.stop]
        return whole if options or (is_short and whole.stop - whole.start <= MAX_BARE_ANSWER_CHARS) else None  # type: ignore[union-attr]
    mark = marks[-1]
    clause = re.split(_CLAUSE_MARK, text[start : mark.start()])[-1]
    sentence_end = _CLEAR_SENTENCE_END if options else _SENTENCE_END
    ends = [end.start() for end in sentence_end.finditer(text, mark.end()) if end.start() > mark.end()]
    if not _is_neutral(_lower(_fold(clause)), lead=True) or not ends:
        return None
    if options:
        choices = _Options.of(options)
        near = [end for end in ends if end <= mark.end() + choices.max_statement_chars]
        found = next((end for end in reversed(near) if choices.match_exactly(text[mark.end() : end])), ends[0])
    else:
        found = ends[0]
    return None if _RETRACTION.search(_lower(text[found:])) else _trim_span(text, mark.start(), mark.end(), found)


def _trim_span(text: str, mark: int, start: int, stop: int) -> _Found | None:
    r"""Leave white space, emphasis and a `\text{}` around all of it out; `None` if nothing is left."""
    inner = text[start:stop]
    left = start + len(inner) - len(inner.lstrip(" \t\r\n*"))
    right = start + len(inner.rstrip(" \t\r\n*"))
    if left >= right:
        return None
    if wrapped := _LATEX.fullmatch(text, left, right):
        return _trim_span(text, mark, *wrapped.span(wrapped.lastindex or 0))
    return _Found(mark, left, right)


# What a text is compared as.

_NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_DIGITS = {word: str(number) for number, word in enumerate(_NUMBER_WORDS.split())}
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?")
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u2060\ufeff]")
_SIGNS = str.maketrans({**dict.fromkeys("−‐‑‒–", "-"), **dict.fromkeys("‘’ʼ", "'"), **dict.fromkeys("“”„", '"')})
_PAIRS = ("()", "[]", "{}", '""', "''", "``", "«»", "「」", "『』", "【】", "《》")
_MARKS = ".,;:!。、…*"


def _fold(text: str) -> str:
    """Unify width, digits of other scripts, signs, quotes and white space. Case, superscripts and fractions stay."""
    folded = text
    if not text.isascii():
        folded = "".join(map(_fold_character, _INVISIBLE.sub("", unicodedata.normalize("NFC", text))))
    folded = re.sub(r"\\([%$#&_])", r"\1", folded.translate(_SIGNS))
    while (unwrapped := _LATEX.sub(lambda match: match[match.lastindex or 0], folded)) != folded:
        folded = unwrapped
    return " ".join(folded.split())


def _fold_character(character: str) -> str:
    if character.isascii():
        return character
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    is_width = unicodedata.decomposition(character).startswith(("<wide>", "<narrow>", "<small>", "<font>"))
    return unicodedata.normalize("NFKC", character) if is_width else character


def _lower(text: str) -> str:
    """Fold case character by character, so that the length stays."""
    return "".join(low if len(low := letter.casefold()) == 1 else letter for letter in text)


def _trim(text: str) -> str:
    """Drop emphasis, brackets and quotes around all of a text, and what ends a sentence; a sign or a point stays."""
    before = None
    while text and text != before:
        before, text = text, text.strip(" *").rstrip(_MARKS + " ")
        if len(text) > 1 and text[0] + text[-1] in _PAIRS:
            text = text[1:-1]
    return re.sub(r"^-\s+(?!\d)", "", text)


def _canonical_number(word: str) -> str:
    is_thousand = re.fullmatch(r"[-+]?[1-9]\d{0,2}(?:\.000)+", word)  # 1.000 is one here and a thousand there
    if is_thousand or not _NUMBER.fullmatch(word) or not word[-1:].isdigit():
        return word
    value = Decimal(word.replace(",", ""))
    return f"{value.normalize():f}" if value else "0"


def _plain(text: str) -> str:
    return _lower(_trim(_fold(text)))


_FORMS: tuple[Callable[[str], str], ...] = (
    str.strip,
    lambda text: _trim(_fold(text)),
    _plain,
    normalize_answer,
)
"""From strict to lenient: a text is compared in the strictest form in which it equals anything."""

# What a reply states.

_OWN_MARK = re.compile(r"[(\[]?([A-Z]{1,2}|\d{1,2})[)\].:、．：]\s*(?!\d)(\S.*)", re.DOTALL)
_LABEL = re.compile(r"[(\[]?\s*([A-Za-z]{1,2}|\d{1,2})\s*[)\].:]*")
_LABEL_AND_TEXT = re.compile(r"[(\[]?([A-Za-z]{1,2}|\d{1,2})(?:[)\].:,、]+\s*|\s+)(?:[-—]\s+)?(.+)", re.DOTALL)
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af"
_MARK = "\ue000"


@dataclass(frozen=True)
class _Options:
    """What there is to choose from: texts without marks of their own, and the labels by which each may be called."""

    texts: tuple[str, ...]
    labels: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, options: Sequence[str]) -> _Options:
        labels = [frozenset({option_label(index)}) for index in range(len(options))]
        own = [match for option in options if (match := _OWN_MARK.fullmatch(option.strip()))]
        if len({match[1] for match in own}) < len(options):
            return cls(tuple(options), tuple(labels))
        marked = zip(labels, own, strict=True)
        return cls(tuple(match[2] for match in own), tuple(names | {match[1]} for names, match in marked))

    @cached_property
    def forms(self) -> list[list[str]]:
        """The texts in every form that they are compared in."""
        return [[form(text) for text in self.texts] for form in _FORMS]

    @cached_property
    def max_statement_chars(self) -> int:
        """A statement is no longer than the longest text and some words around it."""
        return max(map(len, self.texts), default=0) + MAX_WORDING_CHARS

    def with_label(self, name: str) -> set[int]:
        """The options of a label: one letter in either case, two in capitals, because "no" and "is" are words."""
        if len(name) > 1 and name.isalpha() and not name.isupper():
            return set()
        return {index for index, names in enumerate(self.labels) if name.upper() in names}

    def match_exactly(self, reply: str) -> set[int]:
        """The options that a reply is the text of, the label of, or both side by side."""
        stated: set[int] = set()
        if len(reply) > self.max_statement_chars:
            return stated
        for form, texts in zip(_FORMS, self.forms, strict=True):
            wanted = form(reply)
            if wanted and (stated := {index for index, text in enumerate(texts) if text == wanted}):
                break
        folded = _trim(_fold(reply))
        if match := _LABEL.fullmatch(folded):
            stated |= self.with_label(match[1])
        if not stated and (match := _LABEL_AND_TEXT.fullmatch(folded)):
            stated = {index for index in self.with_label(match[1]) if self.forms[2][index] == _plain(match[2])}
        return stated

    def match_statement(self, reply: str) -> set[int]:
        """The options of which a reply says nothing but that they are the answer."""
        if len(reply) > self.max_statement_chars:
            return set()
        folded = re.sub(r"""(?<!\w)(["'`])([^"'`]+)\1(?!\w)""", r"\2", _fold(reply))
        texts, labels = [*self.find_texts(_lower(folded))], [*self.find_labels(folded)]
        named = [*texts, *labels, *_join_labels_and_texts(folded, texts, labels)]
        outer = [one for one in named if not any(_is_inside(one, other) for other in named)]
        if len(spans := {(start, stop) for start, stop, _ in outer}) != 1:
            return set()
        start, stop = next(iter(spans))
        around = f"{_lower(folded[:start])}{_MARK}{_lower(folded[stop:])}"
        if not _is_neutral(around, named=folded[start:stop]) or re.search(f"!{_MARK}", around):
            return set()
        if folded[start:stop].casefold() == "right" and f"that's {_MARK}" in around:  # agreement, no direction
            return set()
        return {index for *_, index in outer} | self.with_label(folded[start:stop])

    def match_beginning(self, reply: str) -> set[int]:
        """The option that the beginning of a reply states, where all that follows explains it."""
        folded = "\n".join(_fold(line) for line in reply.strip().split("\n"))
        breaks = [match for match in _BREAK.finditer(folded) if match.start() <= self.max_statement_chars]
        for match in reversed(breaks):
            head, rest = folded[: match.start()], folded[match.end() :]
            stated = self.match_exactly(head) or self.match_statement(head)
            if len(stated) == 1:
                is_whole = self._ends_a_statement(head, match, rest)
                return stated if is_whole and self._is_explained(next(iter(stated)), head, rest) else set()
        return set()

    def _ends_a_statement(self, head: str, match: re.Match[str], rest: str) -> bool:
        """Letters end at any mark; words only at a full stop, before "because", or as "yes," and "no,".

        What follows must be a sentence: "A. green" names something that is not the option A.
        """
        if head.strip(" .").isdigit():
            return False
        is_sentence = len(rest.split()) > 2 or len(re.findall(f"[{_UNSPACED}]", rest)) > 3
        if _REASON.match(rest) or (_LABEL.fullmatch(_trim(head)) and (is_sentence or _is_neutral(_lower(rest)))):
            return True
        return is_sentence and bool(match["end"] or (match["soft"] and _lower(head) in _POLAR))

    def _is_explained(self, index: int, head: str, rest: str) -> bool:
        """Whether what follows names no other option and takes nothing back."""
        own, lowered = self.forms[2][index], _lower(rest)
        others = {other for *_, other in self.find_texts(lowered) if self.forms[2][other] not in own}
        others |= {other for *_, other in self.find_labels(rest)}
        left = lowered.replace(own, "")
        is_denied = _DENIAL.search(left) and _lower(head) not in _POLAR
        return not (others - {index} or is_denied or _RETRACTION.search(left))

    def find_texts(self, lowered: str) -> Iterator[_Mention]:
        """Where the texts stand as whole words."""
        for index, wanted in enumerate(self.forms[2]):
            if wanted:
                before = r"(?<![.,])" if wanted[0].isdigit() else ""
                word = rf"(?<![^\W{_UNSPACED}]){before}{re.escape(wanted)}(?![^\W{_UNSPACED}])"
                alone = r"(?!\s+\w)" if wanted in _NEUTRAL_WORDS else ""  # "i" is none of the options in "I think so"
                yield from (_Mention(*match.span(), index) for match in re.finditer(word + alone, lowered))

    def find_labels(self, folded: str) -> Iterator[_Mention]:
        """Where labels stand: marked letters ("b)"), and capitals that are no words before a word ("A red one")."""
        for match in re.finditer(rf"(?<![^\W{_UNSPACED}'])([A-Za-z]{{1,2}})(?![^\W{_UNSPACED}']|['+#])", folded):
            name, after = match[0], folded[match.end() :]
            is_marked = re.match(r"[)\].:](?!\w)", after) is not None
            next_word = re.match(r"\s+(?!is\b)(\w+)", after)
            is_word = name.casefold() in _NEUTRAL_WORDS and next_word and not self._is_capital_label(next_word[1])
            if is_marked or (name.isupper() and not is_word):
                yield from (_Mention(*match.span(), index) for index in self.with_label(name))

    def _is_capital_label(self, word: str) -> bool:
        return word.isupper() and bool(self.with_label(word))


class _Mention(NamedTuple):
    """Where an option is named in a folded reply."""

    start: int
    stop: int
    option: int


def _join_labels_and_texts(folded: str, texts: Sequence[_Mention], labels: Sequence[_Mention]) -> Iterator[_Mention]:
    """An option's label and its text with nothing but marks between, as one mention: "A: red", "red (A)"."""
    for text in texts:
        for label in labels:
            first, second = sorted((text, label))
            if first.option == second.option and re.fullmatch(r"[\s()\[\].:,-]*", folded[first.stop : second.start]):
                yield _Mention(first.start, second.stop, first.option)


def _is_inside(one: _Mention, other: _Mention) -> bool:
    return other.start <= one.start and one.stop <= other.stop and one[:2] != other[:2]


# Words that add nothing, and words that take back.


def _split_words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEUTRAL_WORDS = _split_words(
    """
    a an the this that these those it it's its he he's she she's they they're we i i'd i'm my is was are were be been
    so thus therefore hence final correct best answer answers option choice color colour shape object number count
    total direction video clip of that's there there's think believe say choose select pick would must probably likely
    definitely certainly clearly appears appear seems seem looks look like shows see well okay
    la le el les der die das den respuesta réponse antwort resposta risposta es est ist é è c'est opción opção opzione
    correcta correcte richtige corretta correta bonne lautet là đáp án câu trả lời chọn
    ответ это правильный вариант ответа الإجابة الجواب هو هي الصحيحة الخيار उत्तर सही है विकल्प जवाब
    jawaban jawabannya adalah pilihan cevap yanıt doğru đúng het antwoord svar svaret är odpowiedź odpověď відповідь
    απάντηση είναι η الصحيح پاسخ جواب است התשובה היא הנכונה উত্তর
    """
)
_LEAD_WORDS = _split_words("but now overall finally then conclude")
_NEUTRAL_PHRASES = (
    rf"to be|go with|most likely|right (?=answer|option|choice|one)|(?<=is )right"
    rf"|(?<={_MARK} )(?:ones?|things?|objects?|shapes?|colou?r)"
)
_COUNTED = rf"|(?<={_MARK} )(?:times|objects|shapes|things|people|seconds)"
_NEUTRAL_UNSPACED = re.compile(
    r"(?:答案|答え(?:は)?|答|正解(?:は)?|正确|正確|选项|選項|選択肢|选择|選擇|选|選|应该|應該|我|认为|認為|觉得|覺得|是|为|為|的|です|でした"
    r"|だと思います|が正解|정답(?:은)?|답(?:은)?|입니다|이에요|예요|이야|이요|이다|라고|생각합니다|번"
    r"|คำตอบ|ข้อ|ตัวเลือก|ตอบ|คือ|เป็น|นะ|ครับ|ค่ะ|ที่ถูกต้อง)+"
)
_TOKEN = re.compile(rf"[^\s.,:;!()\[\]*。、…「」『』【】《》{_MARK}]+")
_DENIAL = re.compile(
    r"(?<!\w)(?:not?|never|neither|nor|none|nothing|cannot|without|except|\w+n't|wrong|incorrect|false"
    r"|impossible|unlikely|ruled? out|(?:exclud|eliminat|reject|dismiss)\w*"
    r"|nicht|kein\w*|pas|не|нет)(?!\w)|[不没沒非]|ない|ません|아니|않|없|ไม่"
)
_RETRACTION = re.compile(
    r"(?<!\w)(?:but|however|though|although|or|maybe|perhaps|possibly|might|could|actually|wait|instead|rather|either"
    r"|both|unless|if|doubt|unsure|unclear|uncertain|sorry|correction|aber|oder|mais|ou|pero|sino|но|или)(?!\w)"
    r"|但|或|可能|しかし|かも|하지만|또는|แต่|หรือ"
)
_REASON = re.compile(r"(?:because|since|as)\b|因为|因為")
_POLAR = _split_words("yes no true false 是 否 はい いいえ 네 아니요 ใช่ ja nein oui non sí да нет")
_BREAK = re.compile(
    rf"(?P<end>[.!。]+)(?:\s+|(?=[{_UNSPACED}]))|(?P<soft>[:;,)\]、]+)(?:\s+|(?=[{_UNSPACED}]))"
    r"|(?P<dash>\s+[-—]\s+|\n)|\s+(?=(?:because|since|as)\b)"
)


def _is_neutral(lowered: str, *, named: str = "", lead: bool = False) -> bool:
    """Whether a text without capitals adds nothing to what stood in place of its mark."""
    words = _NEUTRAL_WORDS | _LEAD_WORDS if lead else _NEUTRAL_WORDS
    phrases = _NEUTRAL_PHRASES + (_COUNTED if named.isdigit() else "")
    rest = re.sub(rf"(?<!\w)(?:{phrases})(?!\w)", " ", lowered)
    rest = rest if named[:1].isdigit() else re.sub(r"\s[-—]\s", " ", rest)
    return all(word in words or _NEUTRAL_UNSPACED.fullmatch(word) for word in _TOKEN.findall(rest))
