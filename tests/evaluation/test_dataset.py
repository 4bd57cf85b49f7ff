from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vreason_agent.errors import ConfigError, EvaluationError
from vreason_agent.evaluation import load_questions, write_questions

RECORD = {"id": "a", "video": "a.mp4", "question": "How many?", "answer": "3", "options": ["2", "3"]}


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def test_jsonl_round_trip_keeps_every_field(tmp_path, questions):
    placed = [replace(row, video=str(tmp_path / row.video), details={"event_seconds": [1.5]}) for row in questions]
    write_questions(tmp_path / "set.jsonl", placed)
    assert load_questions(tmp_path / "set.jsonl") == placed
    assert load_questions(tmp_path / "set.jsonl", limit=2) == placed[:2]


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_a_dataset_is_read_in_any_utf_with_or_without_its_mark(tmp_path, encoding):
    text = json.dumps({**RECORD, "question": "Wie groß? 多少"}, ensure_ascii=False)
    for name in ("set.jsonl", "a.json"):
        (tmp_path / name).write_bytes(f"{text}\r\n".encode(encoding))
    for source in (tmp_path / "set.jsonl", tmp_path):
        assert load_questions(source)[0].question == "Wie groß? 多少"


@pytest.mark.parametrize(
    ("options", "answer", "true"),
    [
        ({"A": "red", "B": "blue"}, "B", "blue"),
        ({"A": "red", "B": "blue"}, "red", "red"),
        ({"0": 3, "1": 4}, "1", "4"),
        (["A. red", "B. blue"], "B", "B. blue"),
        (["red", "blue"], "A", "red"),
        ([2, 3.5], 3.5, "3.5"),
    ],
)
def test_options_are_a_list_or_an_object_and_the_answer_a_text_or_a_label(tmp_path, options, answer, true):
    path = write_lines(tmp_path / "set.jsonl", {**RECORD, "options": options, "answer": answer})
    (question,) = load_questions(path)
    assert question.answer == true
    assert question.options == tuple(map(str, options.values() if isinstance(options, dict) else options))


def test_the_clip_of_a_json_is_told_from_its_sidecars_by_its_kind(tmp_path):
    write_lines(tmp_path / "a.json", {"questions": [{"question": "?", "answer": "x"}]})
    write_lines(tmp_path / "._a.json", {"questions": 3})
    for name, chosen in (("a.jpg", "a.jpg"), ("a.srt", "a.jpg"), ("a", "a"), ("a.MKV", "a.MKV"), ("a.b.mp4", "a.MKV")):
        (tmp_path / name).mkdir() if name == "a" else (tmp_path / name).touch()
        assert load_questions(tmp_path)[0].video == str(tmp_path / chosen)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(EvaluationError, match=r'a.MKV and a.mp4 have its name; say which is meant: "video"'):
        load_questions(tmp_path)


def test_a_url_stays_as_it_is(tmp_path):
    path = write_lines(tmp_path / "set.jsonl", {**RECORD, "video": "https://example.org/a.mp4"})
    assert load_questions(path)[0].video == "https://example.org/a.mp4"


def test_a_bad_record_names_file_line_and_remedy(tmp_path):
    bad: list[tuple[object, str]] = [
        ({"id": "a", "video": "a.mp4"}, r"found no question, answer; add them"),
        ({**RECORD, "answer": "4"}, r"'4' is none of the options \['2', '3'\]; correct it"),
        (
            {**RECORD, "options": {"A": "B", "B": "A"}, "answer": "A"},
            "both the label of an option and the text of another",
        ),
        ({**RECORD, "options": "23"}, "options is '23'; make it a list of texts or an object"),
        ({**RECORD, "options": ["2"]}, "at least two texts, all different"),
        ({**RECORD, "options": ["3", "3 "]}, "at least two texts, all different"),
        ({**RECORD, "options": ["3", None]}, "make it a text or a number"),
        ({**RECORD, "answer": ["3"]}, r"answer is \['3'\]; make it a text or a number"),
        ({**RECORD, "video": " "}, "video is ' '; make it a text"),
        ({**RECORD, "question": "\ud800"}, "without half characters"),
        ({**RECORD, "num_answers": "4"}, "num_answers is '4'; make it a whole number from 1"),
        ({**RECORD, "details": 3}, "details is 3; make it an object"),
        (["a list"], r"expected a JSON object, found list; write one object per question"),
    ]
    for record, message in bad:
        (tmp_path / "set.jsonl").write_text(f"{json.dumps(RECORD)}\n{json.dumps(record)}\n")
        with pytest.raises(EvaluationError, match=r"set\.jsonl:2.*" + message):
            load_questions(tmp_path / "set.jsonl")
    for text in ('{"id": \n', "[" * 100_000, '{"id": ' + "1" * 5000 + "}"):
        (tmp_path / "set.jsonl").write_text(text)
        with pytest.raises(EvaluationError, match=r"set\.jsonl:1: not JSON .* correct or delete it"):
            load_questions(tmp_path / "set.jsonl")
    (tmp_path / "set.jsonl").write_bytes(b'{"id": "caf\xe9"}')
    with pytest.raises(EvaluationError, match=r"not UTF-8, UTF-16 or UTF-32 text .* save it as UTF-8"):
        load_questions(tmp_path / "set.jsonl")
    write_lines(tmp_path / "a.json", {"questions": {"a": 1}})
    with pytest.raises(EvaluationError, match="make it a list of objects"):
        load_questions(tmp_path)
    with pytest.raises(ConfigError, match="give a number from 1"):
        load_questions(tmp_path, limit=0)


def test_repeated_id_is_refused(tmp_path):
    path = write_lines(tmp_path / "set.jsonl", RECORD, RECORD)
    with pytest.raises(EvaluationError, match="'a' occurs twice; ids are the key of a run, make them unique"):
        load_questions(path)


def test_nothing_there_says_what_to_give(tmp_path):
    with pytest.raises(EvaluationError, match="give a JSONL file or a folder of clips"):
        load_questions(tmp_path / "no.jsonl")
    with pytest.raises(EvaluationError, match="holds no questions; write clips with `vreason-agent demo-video"):
        load_questions(tmp_path)
