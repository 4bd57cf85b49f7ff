from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vreason_agent.errors import EvaluationError
from vreason_agent.evaluation import Question, load_questions, write_questions

RECORD = {"id": "a", "video": "a.mp4", "question": "How many?", "answer": "3", "options": ["2", "3"]}


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def test_jsonl_round_trip_keeps_every_field(tmp_path, questions):
    placed = [replace(row, video=str(tmp_path / row.video), details={"event_seconds": [1.5]}) for row in questions]
    write_questions(tmp_path / "set.jsonl", placed)
    assert load_questions(tmp_path / "set.jsonl") == placed


def test_jsonl_moves_with_its_clips(tmp_path, questions):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write_questions(old / "set.jsonl", [replace(row, video=str(old / row.video)) for row in questions])
    old.rename(new)
    assert load_questions(new / "set.jsonl")[0].video == str(new / "clip0.mp4")


def test_line_separators_inside_a_text_do_not_split_a_line(tmp_path):
    path = write_lines(tmp_path / "set.jsonl", {**RECORD, "question": "How\u2028many\x85?"})
    assert load_questions(path)[0].question == "How\u2028many\x85?"


def test_folder_gives_one_question_per_clip_file(tmp_path):
    write_lines(tmp_path / "b.json", {**RECORD, "id": "b", "kind": "count", "seed": 7})
    write_lines(tmp_path / "a.json", RECORD)
    first, second = load_questions(tmp_path)
    assert (first.id, first.video, first.cluster) == ("a", str(tmp_path / "a.mp4"), "a")
    assert (second.kind, second.details) == ("count", {"seed": 7})


def test_several_questions_beside_one_clip_share_its_cluster(tmp_path):
    both = [{"question": "Q1?", "answer": "x"}, {"question": "Q2?", "answer": "y"}]
    write_lines(tmp_path / "a.json", {"video": "a.mp4", "questions": both})
    loaded = load_questions(tmp_path)
    assert [row.id for row in loaded] == ["a-0", "a-1"]
    assert {row.cluster for row in loaded} == {"a"}


def test_clip_is_found_by_its_stem_where_the_json_does_not_name_it(tmp_path):
    (tmp_path / "a[1].webm").touch()
    write_lines(tmp_path / "a[1].json", {"questions": [{"question": "?", "answer": "x"}]})
    assert load_questions(tmp_path)[0].video == str(tmp_path / "a[1].webm")


def test_json_without_a_clip_is_refused(tmp_path):
    write_lines(tmp_path / "a.json", {"questions": [{"question": "?", "answer": "x"}]})
    with pytest.raises(EvaluationError, match="found no video; add them"):
        load_questions(tmp_path)


def test_limit_keeps_the_first(tmp_path, questions):
    write_questions(tmp_path / "set.jsonl", questions)
    assert [row.id for row in load_questions(tmp_path / "set.jsonl", limit=2)] == ["q0", "q1"]


def test_digest_follows_what_matters_and_not_the_path(questions):
    question = questions[0]
    assert question.digest == replace(question, video="elsewhere.mp4", kind="other").digest
    for changed in (
        replace(question, question="?"),
        replace(question, answer="green"),
        replace(question, options=question.options[::-1]),
        replace(question, video_id="clip9"),
    ):
        assert changed.digest != question.digest


def test_chance_is_that_of_a_uniform_guess(questions):
    assert questions[0].chance == 0.25
    assert replace(questions[0], options=(), num_answers=5).chance == 0.2
    assert replace(questions[0], options=()).chance is None


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "a", "video": "a.mp4"}, r"found no question, answer; add them"),
        ({**RECORD, "answer": "4"}, r"'4' is none of the options \['2', '3'\]; correct it"),
        (["a list"], r"expected a JSON object, found list; write one object per question"),
    ],
)
def test_bad_record_names_file_line_and_remedy(tmp_path, record, message):
    path = write_lines(tmp_path / "set.jsonl", RECORD, record)
    with pytest.raises(EvaluationError, match=r"set\.jsonl:2.*" + message):
        load_questions(path)


def test_broken_json_names_the_line(tmp_path):
    (tmp_path / "set.jsonl").write_text('{"id": \n')
    with pytest.raises(EvaluationError, match=r"set\.jsonl:1: not JSON .* correct or delete it"):
        load_questions(tmp_path / "set.jsonl")


def test_repeated_id_is_refused(tmp_path):
    path = write_lines(tmp_path / "set.jsonl", RECORD, RECORD)
    with pytest.raises(EvaluationError, match="'a' occurs twice; ids are the key of a run, make them unique"):
        load_questions(path)


def test_nothing_there_says_what_to_give(tmp_path):
    with pytest.raises(EvaluationError, match="give a JSONL file or a folder of clips"):
        load_questions(tmp_path / "no.jsonl")
    with pytest.raises(EvaluationError, match="holds no questions; write clips with `vreason-agent demo-video"):
        load_questions(tmp_path)


def test_open_question_has_no_options():
    assert Question(id="a", video="a.mp4", question="?", answer="x").is_open
