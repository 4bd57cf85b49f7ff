"""Questions about videos, and the two file formats they are read from.

A *clip folder* holds beside each clip a JSON file of the same stem, as the bundled world writes it; a *JSONL file* has
one question a line, with paths relative to the file. This module does not know who answers, or what a good answer is.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from vreason_agent.answers import match_option
from vreason_agent.errors import ConfigError, EvaluationError, is_utf8, quote, shorten

Scoring = Literal["exact", "numerical", "mra", "mra_strict"]
_REQUIRED = ("id", "video", "question", "answer")
_VIDEO_SUFFIX = re.compile(
    r"\.(?:mp4|m4v|mov|mkv|webm|avi|mpe?g|m?ts|m2ts|flv|wmv|ogv|3gp|vob|mxf|y4m|gif)", re.IGNORECASE
)
_IMAGE_SUFFIX = re.compile(r"\.(?:png|jpe?g|bmp|webp|tiff?)", re.IGNORECASE)


@dataclass(frozen=True)
class Question:
    """One question about one video, with its true answer.

    Attributes:
        id: Unique within a dataset.
        video: Path of the clip.
        question: The question's text, without its options.
        answer: The true answer: one option's text, or a free text or number where there are no options.
        options: Texts to choose from, in the order shown; empty for an open question.
        kind: Name of the group it is reported in.
        video_id: Questions of equal `video_id` share a video: intervals treat them as one cluster.
        num_answers: Answers that a guesser of an open question chooses among, where the dataset knows.
        scoring: How its answer is compared with the true one, see `score`.
        details: Anything else the dataset says (event times, say); carried, never interpreted here.
    """

    id: str
    video: str
    question: str
    answer: str
    options: tuple[str, ...] = ()
    kind: str = "all"
    video_id: str = ""
    num_answers: int | None = None
    scoring: Scoring = "exact"
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether there are no options to choose from."""
        return not self.options

    @property
    def cluster(self) -> str:
        """`video_id`, or the video's path where the dataset gives none."""
        return self.video_id or self.video

    @property
    def chance(self) -> float | None:
        """Probability that a uniform guess is right; `None` for an open question without `num_answers`."""
        num_answers = len(self.options) or self.num_answers
        return 1 / num_answers if num_answers else None

    @property
    def digest(self) -> str:
        """Twelve hex digits of everything an answer or its score depends on, but not of where the clip lies."""
        parts = [self.id, self.cluster if self.video_id else "", self.question, list(self.options), self.answer]
        return digest_of(parts if self.scoring == "exact" else [*parts, self.scoring])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**asdict(self), "options": list(self.options)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Question:
        """Read what `to_dict` wrote; keys that a later version added are ignored."""
        known = {item.name: record[item.name] for item in fields(cls) if item.name in record}
        return cls(**{**known, "options": tuple(known.get("options", ()))})


def digest_of(value: Any) -> str:
    """Return twelve hex digits that identify a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def question_from_dict(record: Mapping[str, Any], *, folder: Path, source: str) -> Question:
    """Build a question from a JSON record.

    Args:
        record: `id`, `video`, `question`, `answer`, and optionally the other fields of `Question`; unknown keys
            become `details`. `options` is a list of texts or an object of texts by label; `answer` is an option's text
            or label.
        folder: Where a relative `video` starts; a URL stays as it is.
        source: Name of the file (and line), for the error.

    Raises:
        EvaluationError: A field is missing or of a wrong type, or the answer is none of the options.
    """
    missing = [name for name in _REQUIRED if record.get(name) is None]
    if missing:
        msg = f"{source}: a question needs the fields {', '.join(_REQUIRED)}, found no {', '.join(missing)}; add them"
        raise EvaluationError(msg)
    options = _options(record.get("options"), source)
    video, answer = _text(record, "video", source), _text(record, "answer", source)
    details = record.get("details") or {}
    num_answers = record.get("num_answers")
    if not isinstance(details, Mapping):
        raise EvaluationError(_wrong(source, "details", details, "an object"))
    if num_answers is not None and (type(num_answers) is not int or num_answers < 1):
        raise EvaluationError(_wrong(source, "num_answers", num_answers, "a whole number from 1"))
    scoring: Any = record.get("scoring") or "exact"
    if scoring not in get_args(Scoring):
        raise EvaluationError(_wrong(source, "scoring", scoring, f"one of {', '.join(get_args(Scoring))}"))
    known = {"options", "kind", "video_id", "num_answers", "scoring", *_REQUIRED, "details"}
    return Question(
        id=_text(record, "id", source),
        video=video if "://" in video else str(folder / video),
        question=_text(record, "question", source),
        answer=_true_option(answer, record["options"], options, source) if options else answer,
        options=options,
        kind=_text(record, "kind", source, default="all"),
        video_id=_text(record, "video_id", source, default=""),
        num_answers=num_answers,
        scoring=scoring,
        details={**details, **{key: value for key, value in record.items() if key not in known}},
    )


def _text(record: Mapping[str, Any], name: str, source: str, *, default: str | None = None) -> str:
    value = record.get(name)
    if default is not None and value in (None, ""):
        return default
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not (text := str(value)).strip():
        raise EvaluationError(_wrong(source, name, value, "a text or a number, not empty"))
    if not is_utf8(text):
        raise EvaluationError(_wrong(source, name, value, "text without half characters (lone surrogates)"))
    return text


def _options(given: Any, source: str) -> tuple[str, ...]:
    if given in (None, [], {}):
        return ()
    if not isinstance(given, list | tuple | Mapping):
        raise EvaluationError(_wrong(source, "options", given, 'a list of texts or an object such as {"A": "red"}'))
    rows = given if isinstance(given, Mapping) else dict(enumerate(given))
    options = tuple(_text({"options": text}, "options", source) for text in rows.values())
    if len(options) < 2 or len({option.strip() for option in options}) < len(options):
        raise EvaluationError(_wrong(source, "options", given, "at least two texts, all different"))
    return options


def _true_option(answer: str, given: Any, options: tuple[str, ...], source: str) -> str:
    """Return the option that a dataset names as true, by its text, its key or its label."""
    by_key = str(given[answer]) if isinstance(given, Mapping) and answer in given else None
    by_text = answer if answer in options else None
    found = {option for option in (by_key, by_text) if option is not None}
    if not found and (index := match_option(answer, options)) is not None:
        found = {options[index]}
    if len(found) != 1:
        what = "is both the label of an option and the text of another" if found else "is none of the options"
        msg = (
            f"{source}: the answer {quote(answer)} {what} {quote(list(options))}; correct it to the true option's text"
        )
        raise EvaluationError(msg)
    return found.pop()


def _wrong(source: str, name: str, value: Any, allowed: str) -> str:
    return f"{source}: {name} is {quote(value)}; make it {allowed}"


def load_questions(path: str | Path, *, limit: int | None = None) -> list[Question]:
    """Read a dataset from a JSONL file or from a folder of clips with a JSON file beside each.

    Args:
        path: The file or folder.
        limit: At most so many questions, in file order, from 1; `None` reads all.

    Raises:
        ConfigError: `limit` is under 1.
        EvaluationError: Nothing there, text in no UTF, a broken line, or an id that occurs twice.
    """
    if limit is not None and limit < 1:
        msg = f"limit={limit}: give a number from 1, or None for all questions"
        raise ConfigError(msg)
    source = Path(path)
    if os.path.isdir(source):  # unlike Path.is_dir, not an error where the name is too long
        questions = _from_folder(source)
    elif os.path.isfile(source):
        questions = _from_jsonl(source)
    else:
        msg = (
            f"no dataset at {quote(str(source))}; give a JSONL file or a folder of clips (vreason-agent demo-video OUT)"
        )
        raise EvaluationError(msg)
    if not questions:
        command = f"vreason-agent demo-video {shorten(str(source / 'clip.mp4'))} --json"
        msg = f"{quote(str(source))} holds no questions; write clips with `{command}`"
        raise EvaluationError(msg)
    require_unique(questions)
    return questions[:limit]


def require_unique(questions: Iterable[Question]) -> None:
    """Raise `EvaluationError` when two questions share an id."""
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            msg = f"the question id {quote(question.id)} occurs twice; ids are the key of a run, make them unique"
            raise EvaluationError(msg)
        seen.add(question.id)


def write_questions(path: str | Path, questions: Sequence[Question]) -> None:
    """Write questions as JSONL that `load_questions` reads; paths of clips become relative to the file if they can."""
    folder = Path(path).parent
    with Path(path).open("w", encoding="utf-8") as file:
        for question in questions:
            video = Path(question.video)
            relative = video.relative_to(folder) if video.is_relative_to(folder) else video
            file.write(json.dumps({**question.to_dict(), "video": str(relative)}, ensure_ascii=False) + "\n")


def _from_jsonl(source: Path) -> list[Question]:
    lines = _read_text(source).split("\n")  # not splitlines(): JSON strings may hold U+2028
    return [
        question_from_dict(_parse(line, f"{source}:{number}"), folder=source.parent, source=f"{source}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _from_folder(source: Path) -> list[Question]:
    questions = []
    for path in sorted(source.glob("[!.]*.json")):
        clip = _parse(_read_text(path), str(path))
        shared = {key: value for key, value in clip.items() if key != "questions"}
        rows = clip.get("questions", [clip])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise EvaluationError(_wrong(str(path), "questions", rows, "a list of objects"))
        beside = None if shared.get("video") else _clip_beside(path)
        for number, record in enumerate(rows):
            defaults = {"id": f"{path.stem}-{number}", "video_id": path.stem, "video": beside}
            questions.append(question_from_dict({**defaults, **shared, **record}, folder=path.parent, source=str(path)))
    return questions


def _clip_beside(facts: Path) -> str | None:
    """Return the name of what has the file's stem: a video, else a folder of frames, else an image."""
    named = [path for path in sorted(facts.parent.glob(f"{glob.escape(facts.stem)}*")) if path.stem == facts.stem]
    videos = [path.name for path in named if _VIDEO_SUFFIX.fullmatch(path.suffix)]
    folders = [path.name for path in named if path.is_dir()]
    images = [path.name for path in named if _IMAGE_SUFFIX.fullmatch(path.suffix)]
    found = videos or folders or images
    if len(found) > 1:
        msg = f'{facts}: {" and ".join(found)} have its name; say which is meant: "video": "{found[0]}"'
        raise EvaluationError(msg)
    return found[0] if found else None


def _read_text(path: Path) -> str:
    """Read UTF-8, UTF-16 or UTF-32, with or without a byte order mark."""
    try:
        data = path.read_bytes()
        return data.decode(json.detect_encoding(data))
    except OSError as exc:
        msg = f"{path} cannot be read ({exc.strerror}); correct its permissions or give another file"
        raise EvaluationError(msg) from exc
    except UnicodeDecodeError as exc:
        msg = f"{path} is not UTF-8, UTF-16 or UTF-32 text ({exc.reason} at byte {exc.start}); save it as UTF-8"
        raise EvaluationError(msg) from exc


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as exc:
        msg = f"{source}: not JSON ({shorten(str(exc))}); correct or delete it"
        raise EvaluationError(msg) from exc
    if not isinstance(record, dict):
        msg = f"{source}: expected a JSON object, found {type(record).__name__}; write one object per question"
        raise EvaluationError(msg)
    return record
