from __future__ import annotations

import json

import pytest

from vreason_agent.errors import ConfigError, EvaluationError, GenerationError
from vreason_agent.evaluation import Answer, hash_tokens, run

CONFIG = {"model": "fake", "num_frames": 4}


def counting(answer):
    """Record the ids of every batch that reaches the callable."""
    batches: list[list[str]] = []

    def wrapped(batch):
        batches.append([question.id for question in batch])
        return answer(batch)

    return wrapped, batches


def test_results_come_in_the_order_of_the_questions_and_a_finished_run_asks_nothing(tmp_path, questions, always_red):
    answer, batches = counting(always_red)
    first = run(questions, answer, path=tmp_path / "deep" / "run.jsonl", config=CONFIG, batch_size=5)
    assert [row.question for row in first] == questions
    assert [row.score.is_correct for row in first] == [question.answer == "red" for question in questions]
    assert [len(batch) for batch in batches] == [5, 5, 2]
    reordered = dict(reversed(CONFIG.items()))
    assert run(questions, answer, path=tmp_path / "deep" / "run.jsonl", config=reordered) == first
    assert len(batches) == 3
    lines = [json.loads(line) for line in (tmp_path / "deep" / "run.jsonl").read_text().splitlines()]
    assert lines[0]["config"] == CONFIG
    assert [line["run"] for line in lines] == [lines[0]["run"]] * 13


def test_interrupted_run_goes_on_where_it_was(tmp_path, questions, always_red):
    def stop_at_q8(batch):
        if any(question.id == "q8" for question in batch):
            raise KeyboardInterrupt
        return always_red(batch)

    with pytest.raises(KeyboardInterrupt):
        run(questions, stop_at_q8, path=tmp_path / "run.jsonl", config=CONFIG, batch_size=4)
    answer, batches = counting(always_red)
    results = run(questions, answer, path=tmp_path / "run.jsonl", config=CONFIG, batch_size=4)
    assert batches == [["q8", "q9", "q10", "q11"]]
    assert len(results) == 12


def test_line_that_a_killed_process_left_half_written_is_asked_again(tmp_path, questions, always_red):
    path = tmp_path / "run.jsonl"
    run(questions, always_red, path=path, config=CONFIG)
    path.write_bytes(path.read_bytes()[:-20])
    answer, batches = counting(always_red)
    assert len(run(questions, answer, path=path, config=CONFIG)) == 12
    assert batches == [["q11"]]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_another_config_or_a_changed_question_is_asked_anew(tmp_path, questions, always_red):
    path = tmp_path / "run.jsonl"
    run(questions, always_red, path=path, config=CONFIG)
    answer, batches = counting(always_red)
    run(questions, answer, path=path, config={**CONFIG, "num_frames": 8})
    assert [len(batch) for batch in batches] == [12]
    answer, batches = counting(always_red)
    changed = [type(questions[0])(**{**vars(questions[0]), "question": "Which one?"}), *questions[1:]]
    run(changed, answer, path=path, config=CONFIG)
    assert batches == [["q0"]]


def test_failing_question_is_a_wrong_row_and_spares_its_batch(tmp_path, questions, always_red):
    def fail_at_q4(batch):
        if any(question.id == "q4" for question in batch):
            msg = "the clip is empty"
            raise GenerationError(msg)
        return always_red(batch)

    results = run(questions, fail_at_q4, path=tmp_path / "run.jsonl", config=CONFIG)
    assert results[4].answer.error == "GenerationError: the clip is empty"
    assert (results[4].score.is_correct, results[4].score.is_parsed) == (False, False)
    assert [row.score.is_correct for row in results].count(True) == 2
    answer, batches = counting(always_red)
    again = run(questions, answer, path=tmp_path / "run.jsonl", config=CONFIG)
    assert batches == [["q4"]], "only the question that failed is asked again"
    assert [row.answer.error for row in again] == [None] * len(questions)


def test_fault_in_the_program_is_not_taken_for_a_wrong_answer(tmp_path, questions):
    def faulty(batch):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(questions, faulty, path=tmp_path / "run.jsonl", config=CONFIG)


def test_wrong_number_of_answers_is_refused(tmp_path, questions, always_red):
    with pytest.raises(EvaluationError, match="11 answers to 12 questions; return one per question"):
        run(questions, lambda batch: always_red(batch)[1:], path=tmp_path / "run.jsonl", config=CONFIG)


def test_a_broken_file_names_line_and_remedy(tmp_path, questions, always_red):
    path = tmp_path / "run.jsonl"
    for line in (b"not json", b"[1]", b"5", b"\xff\xfe", b""):
        path.write_bytes(line + b"\n")
        with pytest.raises(EvaluationError, match=r"run\.jsonl:1 is (not|no) JSON.* or start the run anew: rm "):
            run(questions, always_red, path=path, config=CONFIG)
    path.unlink()
    run(questions, always_red, path=path, config=CONFIG)
    header, row, *_ = path.read_text().splitlines()
    for answer in (None, 5, {"text": "red"}):
        path.write_text(f"{header}\n{json.dumps({**json.loads(row), 'answer': answer})}\n")
        with pytest.raises(EvaluationError, match=r"run\.jsonl:2 is a row without a whole answer; delete that line"):
            run(questions, always_red, path=path, config=CONFIG)


def test_folder_as_run_file_and_empty_batches_are_refused(tmp_path, questions, always_red):
    with pytest.raises(EvaluationError, match=r"is no file; give the path of a run file, such as .*run\.jsonl"):
        run(questions, always_red, path=tmp_path, config=CONFIG)
    with pytest.raises(ConfigError, match="batch_size=0: a call answers at least one question; give a number from 1"):
        run(questions, always_red, path=tmp_path / "run.jsonl", config=CONFIG, batch_size=0)


def test_progress_counts_what_was_there_before(tmp_path, questions, always_red):
    path, seen = tmp_path / "run.jsonl", []
    run(questions[:4], always_red, path=path, config=CONFIG)
    run(questions, always_red, path=path, config=CONFIG, batch_size=4, on_progress=lambda *pair: seen.append(pair))
    assert seen == [(4, 12), (8, 12), (12, 12)]


def test_answer_round_trip_keeps_every_field():
    full = Answer(
        text="raw\u2028",
        answer="red",
        choice="A",
        reasoning="why",
        signals={"final_entropy": 0.5, "entropy_drop": None},
        num_frames=8,
        num_tokens=30,
        seconds=0.25,
        decision="accept",
        token_hash="ab",
        details={"rungs": [4, 8]},
    )
    empty = Answer(text="", answer=None)
    for answer in (full, empty):
        assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))) == answer
    assert Answer.from_dict({**empty.to_dict(), "field_of_a_later_version": 1}) == empty


def test_token_hash_tells_sequences_apart():
    assert hash_tokens([1, 23]) != hash_tokens([12, 3])
    assert hash_tokens([1, 23]) == hash_tokens((1, 23))
