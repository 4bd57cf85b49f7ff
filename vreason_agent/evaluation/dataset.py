"""Questions about videos, and the two file formats they are read from.

A *clip folder* holds beside each clip a JSON file of the same stem, as the bundled world writes it; a *JSONL file* has
one question a line, with paths relative to the file. This module does not know who answers, or what a good answer is.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vreason_agent.errors import EvaluationError

_REQUIRED = ("id", "video", "question", "answer")


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
        return digest_of(parts)


def digest_of(value: Any) -> str:
    """Return twelve hex digits that identify a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def question_from_dict(record: Mapping[str, Any], *, folder: Path, source: str) -> Question:
    """Build a question from a JSON record.

    Args:
        record: `id`, `video`, `question`, `answer`, and optionally the other fields of `Question`; unknown keys
            become `details`.
        folder: Where a relative `video` starts.
        source: Name of the file (and line), for the error.

    Raises:
        EvaluationError: A field is missing, or the answer is none of the options.
    """
    missing = [name for name in _REQUIRED if record.get(name) is None]
    if missing:
        msg = f"{source}: a question needs the fields {', '.join(_REQUIRED)}, found no {', '.join(missing)}; add them"
        raise EvaluationError(msg)
    known = {"options", "kind", "video_id", "num_answers", *_REQUIRED, "details"}
    question = Question(
        id=str(record["id"]),
        video=str(folder / str(record["video"])),
        question=str(record["question"]),
        answer=str(record["answer"]),
        options=tuple(str(option) for option in record.get("options") or ()),
        kind=str(record.get("kind") or "all"),
        video_id=str(record.get("video_id") or ""),
        num_answers=record.get("num_answers"),
        details={**record.get("details", {}), **{key: value for key, value in record.items() if key not in known}},
    )
    if question.options and question.answer not in question.options:
        msg = f"{source}: the answer {question.answer!r} is none of the options {list(question.options)}; correct it"
        raise EvaluationError(msg)
    return question


def load_questions(path: str | Path, *, limit: int | None = None) -> list[Question]:
    """Read a dataset from a JSONL file or from a folder of clips with a JSON file beside each.

    Args:
        path: The file or folder.
        limit: At most so many questions, in file order.

    Raises:
        EvaluationError: Nothing there, a broken line, or an id that occurs twice.
    """
    source = Path(path)
    if source.is_dir():
        questions = _from_folder(source)
    elif source.is_file():
        questions = _from_jsonl(source)
    else:
        msg = f"no dataset at {str(source)!r}; give a JSONL file or a folder of clips (vreason-agent demo-video OUT)"
        raise EvaluationError(msg)
    if not questions:
        msg = (
            f"{str(source)!r} holds no questions; write clips with `vreason-agent demo-video {source}/clip.mp4 --json`"
        )
        raise EvaluationError(msg)
    require_unique(questions)
    return questions[:limit]


def require_unique(questions: Iterable[Question]) -> None:
    """Raise `EvaluationError` when two questions share an id."""
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            msg = f"the question id {question.id!r} occurs twice; ids are the key of a run, make them unique"
            raise EvaluationError(msg)
        seen.add(question.id)


def write_questions(path: str | Path, questions: Sequence[Question]) -> None:
    """Write questions as JSONL that `load_questions` reads; paths of clips become relative to the file if they can."""
    folder = Path(path).parent
    with Path(path).open("w", encoding="utf-8") as file:
        for question in questions:
            video = Path(question.video)
            relative = video.relative_to(folder) if video.is_relative_to(folder) else video
            file.write(json.dumps({**asdict(question), "video": str(relative)}, ensure_ascii=False) + "\n")


def _from_jsonl(source: Path) -> list[Question]:
    lines = source.read_text(encoding="utf-8").split("\n")  # not splitlines(): JSON strings may hold U+2028
    return [
        question_from_dict(_parse(line, f"{source}:{number}"), folder=source.parent, source=f"{source}:{number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _from_folder(source: Path) -> list[Question]:
    questions = []
    for path in sorted(source.glob("*.json")):
        clip = _parse(path.read_text(encoding="utf-8"), str(path))
        shared = {key: value for key, value in clip.items() if key != "questions"}
        for number, record in enumerate(clip.get("questions", [clip])):
            defaults = {"id": f"{path.stem}-{number}", "video_id": path.stem, "video": _clip_beside(path)}
            questions.append(question_from_dict({**defaults, **shared, **record}, folder=path.parent, source=str(path)))
    return questions


def _clip_beside(facts: Path) -> str | None:
    clips = sorted(path.name for path in facts.parent.glob(f"{glob.escape(facts.stem)}.*") if path != facts)
    return clips[0] if clips else None


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        record = json.loads(text)
    except json.JSONDecodeError as exc:
        msg = f"{source}: not JSON ({exc}); correct or delete it"
        raise EvaluationError(msg) from exc
    if not isinstance(record, dict):
        msg = f"{source}: expected a JSON object, found {type(record).__name__}; write one object per question"
        raise EvaluationError(msg)
    return record
