from __future__ import annotations

from pathlib import Path

import pytest

from vreason_agent.evaluation import Answer, Result, score
from vreason_agent.evaluation.world_dataset import ensure_clips, oracle_results


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    ensure_clips(folder, "dev", 9)
    return folder


def seen(questions, num_frames: int) -> list[Result]:
    """Results of a run that saw evenly spread frames, their times rounded as Matroska does."""

    def times(question) -> list[float]:
        return [round(i * question.details["duration_seconds"] / num_frames, 3) for i in range(num_frames)]

    answers = [Answer(text="", answer=None, details={"timestamps_seconds": times(question)}) for question in questions]
    return [
        Result(question, answer, score(question, answer)) for question, answer in zip(questions, answers, strict=True)
    ]


def test_one_question_per_clip_with_its_own_cluster(data):
    questions = ensure_clips(data, "dev", 9)
    assert len({question.id for question in questions}) == len({question.cluster for question in questions}) == 9
    assert len({question.kind for question in questions}) == 9
    assert {Path(question.video).suffix for question in questions} == {".mp4", ".avi", ".mkv", ".webm"}
    assert all(question.chance for question in questions)


def test_clips_are_written_once(data):
    before = {path: path.stat().st_mtime_ns for path in data.rglob("clip.*")}
    ensure_clips(data, "dev", 9)
    assert {path: path.stat().st_mtime_ns for path in data.rglob("clip.*")} == before


def test_clip_of_another_world_or_half_written_is_written_anew(data):
    stale = data / "dev-standard" / "000000" / "clip.json"
    good = stale.read_text()
    stale.write_text(good.replace('"signature": "', '"signature": "old'))
    (data / "dev-standard" / "000001" / "clip.json").unlink()
    ensure_clips(data, "dev", 2)
    assert stale.read_text() == good
    assert (data / "dev-standard" / "000001" / "clip.json").is_file()


def test_question_of_another_world_is_written_anew_beside_its_clip(data):
    facts = data / "dev-standard" / "000000" / "clip.json"
    clip = next(path for path in facts.parent.glob("clip.*") if path != facts)
    good, written = facts.read_text(), clip.stat().st_mtime_ns
    facts.write_text(good.replace('"question": "', '"question": "Old: '))
    assert not ensure_clips(data, "dev", 1)[0].question.startswith("Old")
    assert (facts.read_text(), clip.stat().st_mtime_ns) == (good, written)


def test_oracle_is_right_with_every_slot_and_lost_with_one_frame(data):
    questions = ensure_clips(data, "dev", 9)
    right = {count: [row.score.is_correct for row in oracle_results(seen(questions, count))] for count in (1, 32)}
    assert all(right[32])
    assert not all(right[1])


def test_dev_and_test_clips_differ(data):
    (dev,), (test,) = ensure_clips(data, "dev", 1), ensure_clips(data, "test", 1)
    assert dev.details["signature"] != test.details["signature"]
    assert dev.digest != test.digest
