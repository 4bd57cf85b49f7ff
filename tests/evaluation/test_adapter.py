"""The engine behind the figures gives what `ChatVReason` and the graph give, on the bundled model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.quality.bench import Bench
from benchmarks.quality.phases import entropy_drop
from benchmarks.quality.verify import verify
from vreason_agent.chat_model import ChatVReason
from vreason_agent.decoding import VReasonConfig
from vreason_agent.evaluation import Answer, hash_tokens
from vreason_agent.evaluation.adapter import Engine, Setting, direct_answer
from vreason_agent.graphs.policy import AcceptPolicy, Ladder
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
def bench(tmp_path_factory) -> Bench:
    return Bench(
        data=tmp_path_factory.mktemp("clips"), out=tmp_path_factory.mktemp("out"), split="dev", num_questions=2
    )


@pytest.mark.slow
def test_a_batch_gives_what_the_chat_model_gives_one_by_one(bench):
    answers = bench.engine.answering(SHORT)(bench.questions)
    chat_model = ChatVReason(model="tiny", vreason=SHORT.vreason, max_tokens=SHORT.max_new_tokens)
    for question, answer in zip(bench.questions, answers, strict=True):
        ask = video_question(question.video, question.question, options=question.options, num_frames=4, max_frames=4)
        metadata = chat_model.invoke([ask]).response_metadata
        confidence = metadata["confidence"]
        assert answer.answer == confidence["answer"]["text"]
        assert dict(answer.signals) == pytest.approx(confidence["signals"], abs=1e-4)
        assert answer.details["timestamps_seconds"] == confidence["evidence"]["timestamps_seconds"]
        assert answer.num_frames == 4


@pytest.mark.slow
@pytest.mark.parametrize("min_final_steps", [1, 4])
def test_a_replayed_drop_is_that_of_the_trace(bench, min_final_steps):
    config = VReasonConfig(schedule="off", min_final_steps=min_final_steps)
    for answer in bench.engine.answering(Setting(num_frames=8, vreason=config))(bench.questions):
        replayed = entropy_drop(answer, config)
        assert replayed == pytest.approx(answer.signals["entropy_drop"], abs=1e-3)
        assert (replayed is None) == (answer.signals["entropy_drop"] is None)


@pytest.mark.slow
def test_batched_ladder_equals_the_graph_on_the_model(bench):
    text = verify(bench, AcceptPolicy(max_retries=0), Ladder(num_frames=4, max_frames=8), VReasonConfig())
    assert text == "2 questions, graph against batched ladder: equal"


@pytest.mark.slow
def test_without_video_no_frame_is_read(bench):
    blind = replace(SHORT, num_frames=0)
    gone = [replace(question, video="/nowhere.mp4") for question in bench.questions]
    answers = bench.engine.answering(blind)(gone)
    assert [answer.num_frames for answer in answers] == [0, 0]
    assert all(answer.details["num_updates"] == 0 for answer in answers)


@pytest.mark.slow
def test_fingerprint_follows_the_weights(bench):
    before = bench.engine.fingerprint
    assert Engine.load("tiny").fingerprint == before
    weight = next(bench.engine.model.hf_model.parameters())
    kept = weight.detach().clone()
    try:
        weight.data.flatten()[0] += 1.0
        assert Engine.load("tiny").fingerprint != before
    finally:
        weight.data.copy_(kept)


@pytest.mark.slow
def test_token_hash_is_that_of_the_generated_tokens(bench):
    (answer,) = bench.engine.answering(SHORT)(bench.questions[:1])
    assert answer.token_hash != hash_tokens([])
    assert answer.num_tokens <= 24


@pytest.mark.slow
def test_a_random_schedule_draws_for_every_question_anew(bench):
    answers = bench.engine.answering(Setting(num_frames=4, vreason=VReasonConfig(schedule="random")))
    settings = [Setting(vreason=VReasonConfig(schedule="random")).vreason_for(question) for question in bench.questions]
    assert len({config.seed for config in settings}) == len(bench.questions)
    assert Setting(vreason=VReasonConfig()).vreason_for(bench.questions[0]) == VReasonConfig()
    assert all(answer.details["num_updates"] for answer in answers(bench.questions))


@pytest.mark.slow
def test_direct_answers_choose_among_the_options_and_write_nothing(bench):
    asked = [question for question in bench.questions if question.options]
    answers = bench.engine.answering(Setting(num_frames=4, is_direct=True))(asked)
    assert all(answer.answer in question.options for question, answer in zip(asked, answers, strict=True))
    assert {answer.num_tokens for answer in answers} == {0}
