"""Questions about generated clips: the bundled world's clips as files, and the oracle that knows their scenes.

This module knows no model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from vreason_agent.evaluation import Answer, Question, Result, score
from vreason_agent.evaluation.dataset import load_questions
from vreason_agent.tiny.questions import ABSENT_KINDS, ANSWERS
from vreason_agent.tiny.render import CODECS, describe_clip, write_clip, write_facts
from vreason_agent.tiny.world import SceneSet, Split, make_clip, oracle

ENDINGS = tuple(CODECS)


def ensure_clips(
    data: Path,
    split: Split,
    num_clips: int,
    *,
    first_seed: int = 0,
    scene_set: SceneSet = "standard",
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Question]:
    """Write the clips of `num_clips` seeds that are not there yet, and return their questions.

    A clip whose scene the world would draw otherwise today is written anew, and so is a question that changed.

    Args:
        data: Cache folder; a subfolder is made for the split and set.
        split: `"dev"` for tuning, `"test"` for figures.
        num_clips: Number of clips; one question each.
        first_seed: Seed of the first of them.
        scene_set: `"standard"`, `"dense"` or `"mixed"`.
        on_progress: Called with (done, total) after each clip.
    """
    folder = data / f"{split}-{scene_set}"
    folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)  # its threads fight with torch's
    questions: list[Question] = []
    for seed in range(first_seed, first_seed + num_clips):
        questions += _ensure_clip(folder, seed, split, scene_set)
        if on_progress is not None:
            on_progress(seed - first_seed + 1, num_clips)
    return questions


def _ensure_clip(folder: Path, seed: int, split: Split, scene_set: SceneSet) -> list[Question]:
    clip = make_clip(seed, split, scene_set=scene_set)
    place = folder / f"{seed:06d}"
    video, facts = place / f"clip{ENDINGS[seed % len(ENDINGS)]}", place / "clip.json"
    known = json.loads(facts.read_text(encoding="utf-8")) if facts.is_file() else {}
    if known.get("signature") != clip.signature:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()  # the JSON is written last: where it is, the clip is whole
        write_clip(video, clip)
    elif known != known | json.loads(json.dumps(describe_clip(clip, known["codec"]))):
        write_facts(video, clip, known["codec"])  # another question about the same scene
    return [
        replace(
            question,
            id=f"{split}-{scene_set}-{seed}-{number}",
            video_id=f"{seed}-{clip.signature}",
            num_answers=_num_answers(question),
        )
        for number, question in enumerate(load_questions(place))
    ]


def oracle_results(results: Sequence[Result]) -> list[Result]:
    """Answer the questions of a run from the true content of the frames that the run saw, and from nothing else."""
    answers = [_ask_oracle(row.question, row.answer.details["timestamps_seconds"]) for row in results]
    rows = zip(results, answers, strict=True)
    return [Result(row.question, answer, score(row.question, answer)) for row, answer in rows]


def _ask_oracle(question: Question, timestamps_seconds: Sequence[float]) -> Answer:
    details = question.details
    clip = make_clip(details["seed"], details["split"], scene_set=details["scene_set"])
    asked = next(item for item in clip.questions if item.question == question.question)
    video_fps = clip.scene.video_fps
    exact = [round(second * video_fps) / video_fps for second in timestamps_seconds]  # Matroska rounds to milliseconds
    conclusion = oracle(clip, asked, exact)
    return Answer(text="\n".join(conclusion.lines), answer=conclusion.answer, details={"is_guess": conclusion.is_guess})


def _num_answers(question: Question) -> int:
    topic = question.details["topic"]
    return len(ANSWERS[topic]) + (topic in ABSENT_KINDS)
