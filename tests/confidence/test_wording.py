from __future__ import annotations

from typing import Any

from vreason_agent.confidence import Confidence, describe_confidence

SETTLED: dict[str, float | None] = {"peak_entropy": 2.0, "final_entropy": 0.5, "entropy_drop": 0.75}


def record(signals: dict[str, float | None] = SETTLED, **fields: Any) -> Confidence:
    return Confidence(answer={"text": "red", "choice": None, "kind": "open"}, signals=signals, **fields)


def rungs(*texts: str) -> list[dict[str, Any]]:
    return [{"num_frames": 4 << index, "answer": text, "choice": None} for index, text in enumerate(texts)]


def text_of(confidence: Confidence) -> str:
    return " ".join(describe_confidence(confidence))


def test_without_a_calibrator_there_is_no_percentage() -> None:
    for confidence in (record(), record().decided("accept", "", rungs("red", "red")), Confidence()):
        assert "%" not in text_of(confidence)
        assert "No calibrator is loaded" in text_of(confidence)


def test_a_fall_of_entropy_is_told_with_its_numbers() -> None:
    assert "from a peak of 2.00 to 0.50 nats in the final phase (by 0.75 of the peak)" in text_of(record())


def test_entropy_that_rose_is_not_called_a_fall() -> None:
    rising = record({"peak_entropy": 1.0, "final_entropy": 1.2, "entropy_drop": -0.2})
    assert "did not fall" in text_of(rising)


def test_an_answer_that_ended_at_the_peak_is_said_to_have_done_so() -> None:
    peak = record({"peak_entropy": 1.0, "final_entropy": 0.9, "entropy_drop": 0.0})
    assert "was still at its peak, 1.00 nats, when the answer ended" in text_of(peak)


def test_what_was_not_measured_is_said_to_be_so() -> None:
    assert "was not measured" in text_of(record({}))


def test_an_answer_that_held_is_told_apart_from_one_look_and_from_a_change() -> None:
    assert "gave it again when shown more frames" in text_of(record().decided("accept", "", rungs("red", "red")))
    retried = [{**rung, "num_frames": 32} for rung in rungs("red", "red")]
    assert "once more about the same frames" in text_of(record().decided("accept", "", retried))
    guess = text_of(record().decided("accept", "", rungs("red", "red"), settled=False))
    assert "its best guess was taken" in guess
    assert "again" not in guess
    assert "in one attempt" in text_of(record().decided("accept", "", rungs("red")))
    changed = text_of(record().decided("abstain", "", rungs("blue", "red")))
    assert "did not settle" in changed
    assert "The answer changed between attempts: 'blue' (4 frames), 'red' (8 frames)." in changed
    once = [{**rung, "num_frames": 1} for rung in rungs("red", "red")]
    assert "'red' (1 frame), 'red' (1 frame)" in text_of(record().decided("abstain", "", once))


def test_warnings_become_sentences() -> None:
    assert "cut off at the token limit" in text_of(record(warnings=("truncated",)))
    assert text_of(record(warnings=("Two frames share a position.",))).endswith("Two frames share a position.")


def test_a_calibrated_probability_is_told_as_a_share_of_questions() -> None:
    assert "About 80% of such answers are right." in text_of(record(probability=0.8, calibrated=True))
