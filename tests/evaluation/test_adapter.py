"""The engine behind the figures gives what `ChatVReason` and the graph give, on the bundled model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vreason_agent.chat_model import ChatVReason
from vreason_agent.decoding import VReasonConfig
from vreason_agent.evaluation import Answer, Question, hash_tokens
from vreason_agent.evaluation.adapter import Engine, Setting, direct_answer
from vreason_agent.evaluation.world_dataset import ensure_clips
from vreason_agent.messages import video_question

SHORT = Setting(num_frames=4, vreason=VReasonConfig(), max_new_tokens=24)


def test_a_direct_answer_is_the_option_that_was_most_probable_before_the_reasoning():
    details = {"options": {"before": {"red": 0.2, "blue": 0.5, "green": 0.3}}}
    answer = direct_answer(Answer(text="<think>", answer=None, signals={"final_entropy": 1.0}, details=details))
    assert (answer.answer, answer.choice, dict(answer.signals)) == ("blue", "B", {"option_probability_before": 0.5})
    assert direct_answer(Answer(text="red", answer="red")).answer is None


def test_every_question_draws_from_its_own_seed(questions):
    seeds = [Setting(temperature=1.0, seed=seed).seed_for(question) for seed in (0, 1) for question in questions]
    assert len(set(seeds)) == 2 * len(questions)
    assert Setting().seed_for(questions[0]) is None
    assert [Setting(is_direct=True).name, Setting(temperature=0.7).name] == ["direct, 8 frames", "off, 8 frames, T 0.7"]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load("tiny")


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> list[Question]:
    return ensure_clips(tmp_path_factory.mktemp("clips"), "dev", 2)


@pytest.mark.slow
def test_a_batch_gives_what_the_chat_model_gives_one_by_one(engine, asked):
    answers = engine.answering(SHORT)(asked)
    chat_model = ChatVReason(model="tiny", vreason=SHORT.vreason, max_tokens=SHORT.max_new_tokens)
    for question, answer in zip(asked, answers, strict=True):
        ask = video_question(question.video, question.question, options=question.options, num_frames=4, max_frames=4)
        metadata = chat_model.invoke([ask]).response_metadata
        confidence = metadata["confidence"]
        assert answer.answer == confidence["answer"]["text"]
        assert dict(answer.signals) == pytest.approx(confidence["signals"], abs=1e-4)
        assert answer.details["timestamps_seconds"] == confidence["evidence"]["timestamps_seconds"]
        assert answer.num_frames == 4


@pytest.mark.slow
def test_without_video_no_frame_is_read(engine, asked):
    blind = replace(SHORT, num_frames=0)
    gone = [replace(question, video="/nowhere.mp4") for question in asked]
    answers = engine.answering(blind)(gone)
    assert [answer.num_frames for answer in answers] == [0, 0]
    assert all(answer.details["num_updates"] == 0 for answer in answers)


@pytest.mark.slow
def test_fingerprint_follows_the_weights(engine, asked):
    before = engine.fingerprint
    assert Engine.load("tiny").fingerprint == before
    weight = next(engine.model.hf_model.parameters())
    kept = weight.detach().clone()
    try:
        weight.data.flatten()[0] += 1.0
        assert Engine.load("tiny").fingerprint != before
    finally:
        weight.data.copy_(kept)


@pytest.mark.slow
def test_token_hash_is_that_of_the_generated_tokens(engine, asked):
    (answer,) = engine.answering(SHORT)(asked[:1])
    assert answer.token_hash != hash_tokens([])
    assert answer.num_tokens <= 24


@pytest.mark.slow
def test_a_random_schedule_draws_for_every_question_anew(engine, asked):
    answers = engine.answering(Setting(num_frames=4, vreason=VReasonConfig(schedule="random")))
    settings = [Setting(vreason=VReasonConfig(schedule="random")).vreason_for(question) for question in asked]
    assert len({config.seed for config in settings}) == len(asked)
    assert Setting(vreason=VReasonConfig()).vreason_for(asked[0]) == VReasonConfig()
    assert all(answer.details["num_updates"] for answer in answers(asked))


@pytest.mark.slow
def test_direct_answers_choose_among_the_options_and_write_nothing(engine, asked):
    closed = [question for question in asked if question.options]
    answers = engine.answering(Setting(num_frames=4, is_direct=True))(closed)
    assert all(answer.answer in question.options for question, answer in zip(closed, answers, strict=True))
    assert {answer.num_tokens for answer in answers} == {0}
