from __future__ import annotations

import json
import threading
import warnings
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.conftest import ask, make_video
from tests.model.published import IDS
from vreason_agent.decoding import VReasonConfig, vreason_generate
from vreason_agent.errors import ConfigError, GenerationError
from vreason_agent.model import (
    Generation,
    GenerationRequest,
    ImagePart,
    PixelBudget,
    SamplingParams,
    StreamEvent,
    TextPart,
    Turn,
    VideoLanguageModel,
    describe_model,
    load_model,
)
from vreason_agent.model.engine import VideoTimeWarning, generation_config
from vreason_agent.model.vision import preprocess_prompt, vision_inputs

REQUESTS = [
    ask("Was?", make_video(4, seed=1)),
    ask("A much longer question about ünïcode?", make_video(6, seed=2)),
    ask("Which?", make_video(2, seed=3), seed=5, temperature=1.0),
    ask("Which?", make_video(2, seed=3), seed=6, temperature=1.0),
]


ROUTES = {"qwen2_vl": "none", "qwen2_5_vl": "temporal positions", "qwen3_vl": "text"}
pytestmark = pytest.mark.filterwarnings("ignore::vreason_agent.model.engine.VideoTimeWarning")


def entropies(generation: Generation) -> np.ndarray:
    return np.asarray(generation.trace.entropy)


def test_greedy_tokens_equal_those_of_generate_with_the_librarys_own_positions(model: VideoLanguageModel) -> None:
    request = ask(video=make_video(8), max_new_tokens=16)
    prompt = model.encoder.encode(request.turns)
    pixels = preprocess_prompt(prompt, model.encoder)
    types = prompt.video_mask.long()[None] * 2
    time = {"second_per_grid_ts": [1.0]} if model.family.name == "qwen2_5_vl" else {}
    expected = model.hf_model.generate(
        input_ids=prompt.input_ids[None],
        attention_mask=torch.ones_like(prompt.input_ids[None]),
        **pixels["video"],
        mm_token_type_ids=types,
        generation_config=generation_config(request.sampling, model.stop_token_ids, model.pad_token_id),
        **time,
    )[0, prompt.num_tokens :]
    [answer] = model.generate([request])
    assert list(answer.token_ids) == expected.tolist()
    assert len(set(answer.token_ids)) > 1


def test_several_sequences_are_drawn_from_features_as_from_pixels(model: VideoLanguageModel) -> None:
    """Transformers' `generate` repeats the features of every prompt."""
    prompt = model.encoder.encode(ask(video=make_video(8)).turns)
    pixels = preprocess_prompt(prompt, model.encoder)
    common = {"input_ids": prompt.input_ids[None], "position_ids": prompt.position_ids.unsqueeze(1)}
    raw = pixels["video"]
    drawn = []
    for loop in ({}, {"custom_generate": vreason_generate, "vreason": VReasonConfig(schedule="off")}):
        for inputs in (raw, vision_inputs(model.family, model.hf_model, [pixels], model.device)):
            torch.manual_seed(0)
            options: dict[str, Any] = {"do_sample": True, "num_return_sequences": 3, "max_new_tokens": 6, **loop}
            drawn.append(model.hf_model.generate(**common, **inputs, **options).tolist())
    assert len(drawn[0]) == 3
    assert drawn.count(drawn[0]) == 4


def test_features_computed_beforehand_change_nothing(
    model: VideoLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ImagePart(make_video(1, seed=9).images[0])
    turn = Turn("user", (image, make_video(4), TextPart("?")))
    requests = [GenerationRequest((turn,), SamplingParams(max_new_tokens=8), REQUESTS[0].vreason), REQUESTS[0]]
    expected = model.generate(requests)
    monkeypatch.setattr("vreason_agent.model.vision.inspect.signature", lambda _: type("Old", (), {"parameters": {}}))
    pixels = [preprocess_prompt(model.encoder.encode(request.turns), model.encoder) for request in requests]
    assert set(vision_inputs(model.family, model.hf_model, pixels, model.device)) >= {
        "pixel_values",
        "pixel_values_videos",
    }
    raw = model.generate([replace(request, reuse=False) for request in requests])
    assert [a.token_ids for a in raw] == [a.token_ids for a in expected]
    assert raw[0].trace.seconds.vision is None


def test_a_batch_gives_what_each_request_gives_alone(model: VideoLanguageModel) -> None:
    together = model.generate(REQUESTS)
    alone = [model.generate([request])[0] for request in REQUESTS]
    assert [a.token_ids for a in together] == [a.token_ids for a in alone]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(entropies(one), entropies(other), atol=1e-5)
    assert together[2].token_ids != together[3].token_ids


def test_videos_asked_in_any_order_and_from_two_threads_give_what_each_gives_alone(model: VideoLanguageModel) -> None:
    requests = [replace(REQUESTS[0], vreason=ask(schedule="switching").vreason), *REQUESTS[1:3]]
    expected = [model.generate([request])[0].token_ids for request in requests]
    backwards = [model.generate([request])[0].token_ids for request in reversed(requests)]
    assert backwards == expected[::-1]
    found: dict[int, tuple[int, ...]] = {}

    def work(rows: list[int]) -> None:
        for row in rows:
            found[row] = model.generate([requests[row]])[0].token_ids

    threads = [threading.Thread(target=work, args=(rows,)) for rows in ([0, 2], [1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[row] for row in range(3)] == expected


def test_the_librarys_own_position_state_is_neither_used_nor_needed(model: VideoLanguageModel) -> None:
    expected = model.generate([REQUESTS[0]])[0].token_ids
    model.hf_model.model.rope_deltas = torch.tensor([[777]])
    assert model.generate([REQUESTS[0]])[0].token_ids == expected
    model.hf_model.model.rope_deltas = None


def test_the_video_matters(model: VideoLanguageModel) -> None:
    black = replace(make_video(4), images=np.zeros((4, 64, 64, 3), np.uint8))
    answers = model.generate([ask(video=make_video(4)), ask(video=black)])
    assert not np.allclose(entropies(answers[0]), entropies(answers[1]))


def test_the_order_of_videos_in_a_batch_is_kept(model: VideoLanguageModel) -> None:
    first, second = make_video(4, seed=1), make_video(6, seed=2)
    turns = [Turn("user", (first, second, TextPart("?"))), Turn("user", (second, first, TextPart("?")))]
    requests = [GenerationRequest((turn,), SamplingParams(max_new_tokens=6), REQUESTS[0].vreason) for turn in turns]
    together = model.generate(requests)
    assert [a.token_ids for a in together] == [model.generate([r])[0].token_ids for r in requests]
    np.testing.assert_allclose(entropies(together[1])[0], entropies(model.generate([requests[1]])[0])[0], atol=1e-5)


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others(model: VideoLanguageModel) -> None:
    texts = [model.generate([ask(temperature=1.0, seed=seed, max_new_tokens=24)])[0].token_ids for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_without_a_seed_each_request_draws_anew(models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen2_5_vl"]
    answers = model.generate([ask(temperature=1.0, max_new_tokens=24)] * 2)
    assert answers[0].token_ids != answers[1].token_ids


def test_the_folders_sampling_rules_do_not_take_over(models: dict[str, VideoLanguageModel]) -> None:
    """The folder says temperature 1e-6 and repetition penalty 1.5, as published ones do."""
    model = models["qwen2_5_vl"]
    assert model.hf_model.generation_config.repetition_penalty == 1.5
    plain = model.generate([ask(max_new_tokens=40)])[0]
    penalized = model.generate([ask(max_new_tokens=40, repetition_penalty=1.5)])[0]
    assert max(Counter(plain.token_ids).values()) > 1
    assert plain.token_ids != penalized.token_ids
    hot = model.generate([ask(max_new_tokens=40, temperature=2.0, seed=0)])[0]
    assert hot.token_ids != plain.token_ids


@pytest.mark.parametrize(
    ("field", "value"),
    [("top_k", 1), ("top_p", 1e-9), ("min_p", 1.0)],
)
def test_each_limit_reaches_the_sampler(field: str, value: float, models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen2_5_vl"]
    greedy = model.generate([ask(max_new_tokens=10)])[0].token_ids
    sampling = SamplingParams(**{"max_new_tokens": 10, "temperature": 1.0, "seed": 0, field: value})  # type: ignore[arg-type]
    limited = model.generate([replace(ask(), sampling=sampling)])[0].token_ids
    assert limited == greedy


def test_the_end_token_ends_the_answer_and_is_no_text(models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen2_5_vl"]
    [answer] = model.generate([ask(max_new_tokens=40, temperature=3.0, seed=1)])
    ends = replace(model, stop_token_ids=(answer.token_ids[2],))
    [cut] = ends.generate([ask(max_new_tokens=40, temperature=3.0, seed=1)])
    assert cut.finish_reason == "stop"
    assert cut.token_ids == answer.token_ids[: len(cut.token_ids)]
    assert cut.token_ids[-1] == answer.token_ids[2]
    assert set(model.stop_token_ids) == {IDS["<|im_end|>"], IDS["<|endoftext|>"]}


def test_events_spell_the_text_and_carry_what_the_trace_records(model: VideoLanguageModel) -> None:
    events: list[StreamEvent] = []
    answers = model.generate(REQUESTS[:2], on_token=lambda event: events.append(event))
    for row, answer in enumerate(answers):
        mine = [event for event in events if event.row == row]
        tokens = [event.record for event in mine if event.record is not None]
        assert "".join(event.text for event in mine) == answer.text
        assert [token.token_id for token in tokens] == list(answer.token_ids)
        assert [token.step for token in tokens] == list(range(len(answer.token_ids)))
        assert [token.entropy for token in tokens] == list(answer.trace.entropy)
        assert [token.logprob for token in tokens] == list(answer.trace.logprobs)
        assert {token.phase for token in tokens} <= {"exploration", "exploitation"}


def test_the_text_is_what_the_tokenizer_decodes(model: VideoLanguageModel) -> None:
    [answer] = model.generate([ask(max_new_tokens=40, temperature=2.0, seed=3)])
    assert answer.text == model.tokenizer.decode(answer.token_ids, skip_special_tokens=True)
    assert "".join(answer.token_texts) == answer.text
    assert len(answer.token_texts) == len(answer.token_ids)


def test_a_stop_text_is_cut_off_and_never_streamed(models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen2_5_vl"]
    request = ask(max_new_tokens=40, temperature=2.0, seed=3)
    [free] = model.generate([request])
    stop = free.text[5:8]
    events: list[StreamEvent] = []
    limited = replace(request, sampling=replace(request.sampling, stop=(stop, "never said")))
    [answer] = model.generate([limited], on_token=lambda event: events.append(event))
    assert answer.text == free.text[: free.text.index(stop)]
    assert "".join(event.text for event in events) == answer.text
    assert answer.finish_reason == "stop"
    assert len(answer.token_ids) < len(free.token_ids)


def test_rows_with_different_stop_texts_share_a_batch(models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen2_5_vl"]
    [free] = model.generate([ask(max_new_tokens=20)])
    stopped = ask(max_new_tokens=20, stop=(free.text[3],))
    answers = model.generate([ask(max_new_tokens=20), stopped])
    assert answers[0].text == free.text
    assert answers[1].text == free.text[: free.text.index(free.text[3])]


def test_a_callback_that_returns_true_ends_its_row_alone(models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen2_5_vl"]
    answers = model.generate(
        REQUESTS[:2], on_token=lambda event: event.row == 0 and event.record is not None and event.record.step == 3
    )
    assert [answer.finish_reason for answer in answers] == ["cancelled", "length"]
    assert [len(answer.token_ids) for answer in answers] == [4, 12]


def test_an_error_in_the_callback_frees_the_model(models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen2_5_vl"]

    def fail(event: StreamEvent) -> None:
        raise RuntimeError("reader went away")

    with pytest.raises(RuntimeError, match="reader went away"):
        model.generate([REQUESTS[0]], on_token=fail)
    assert not model.lock.locked()
    assert model.generate([REQUESTS[0]])[0].token_ids


def test_top_logprobs_come_with_every_token_if_asked_for(models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen2_5_vl"]
    [answer] = model.generate([ask(num_top_logprobs=3)])
    assert [len(top) for top in answer.top_logprobs] == [3] * len(answer.token_ids)
    for token, logprob, top in zip(answer.token_ids, answer.trace.logprobs, answer.top_logprobs, strict=True):
        assert top[0] == (token, pytest.approx(logprob, abs=1e-5))
    assert model.generate([ask()])[0].top_logprobs == ()


def test_wall_times_of_every_stage_are_reported(model: VideoLanguageModel) -> None:
    [answer] = model.generate([ask(schedule="switching", max_new_tokens=16)])
    assert {"preprocess", "vision", "prefill", "decode", "updates", "total"} <= set(answer.seconds)
    assert all(seconds >= 0 for seconds in answer.seconds.values())
    assert answer.trace.seconds.vision == answer.seconds["vision"]
    assert answer.seconds["total"] >= answer.seconds["vision"] + answer.seconds["decode"]


def test_prompt_and_pictures_are_counted(model: VideoLanguageModel) -> None:
    request = ask(video=make_video(6))
    [answer] = model.generate([request])
    [use] = answer.vision
    assert answer.prompt_tokens == model.count_tokens(request.turns)
    assert answer.video_tokens == use.num_tokens == answer.trace.num_video_tokens
    factor = model.encoder.video.settings.factor
    assert use.num_tokens == 3 * (use.height_px // factor) * (use.width_px // factor)


def test_a_prompt_longer_than_the_context_says_its_numbers_and_what_to_do(model: VideoLanguageModel) -> None:
    request = ask("x" * 900, make_video(60))
    tokens = model.count_tokens(request.turns)
    with pytest.raises(GenerationError, match=rf"has {tokens} tokens .* holds 1024.*Use fewer frames \(--max-frames\)"):
        model.generate([request])


def test_a_text_that_alone_is_too_long_is_named_and_not_the_frames(model: VideoLanguageModel) -> None:
    request = ask("x" * 1200, make_video(2))
    words = model.count_tokens([Turn("user", (TextPart("x" * 1200),))])
    expected = (
        rf"text of the prompt alone has {words} tokens .* holds 1024.*Shorten the question, its options or the conv"
    )
    with pytest.raises(GenerationError, match=expected) as caught:
        model.generate([request])
    assert "frames" not in str(caught.value)
    with pytest.raises(GenerationError, match="Shorten the question"):
        model.generate([replace(request, turns=(Turn("user", (TextPart("x" * 1200),)),))])


def test_tools_that_fill_the_context_are_named_with_their_share(model: VideoLanguageModel) -> None:
    request = replace(ask("x"), tools=({"name": "look", "description": "y" * 1200},))
    expected = r"has \d+ tokens \(\d{4} of them describe 1 tools\) .*Bind fewer tools, shorten the question"
    with pytest.raises(GenerationError, match=expected):
        model.generate([request])


def test_an_answer_cut_by_the_context_says_so(models: dict[str, VideoLanguageModel]) -> None:
    model = models["qwen2_5_vl"]
    used = model.count_tokens(ask("").turns)
    request = ask("x" * (model.context_length - used - 5), max_new_tokens=50)
    [answer] = model.generate([request])
    assert (len(answer.token_ids), answer.finish_reason) == (5, "length")
    assert any("leaves 5 of the context of 1024" in note for note in answer.notes)
    assert model.generate([ask()])[0].notes == ()


def test_the_last_turn_must_ask_something(models: dict[str, VideoLanguageModel]) -> None:
    turns = (Turn("user", (TextPart("?"),)), Turn("assistant", (TextPart("!"),)))
    with pytest.raises(ConfigError, match="add the question as a user turn"):
        models["qwen2_5_vl"].generate([GenerationRequest(turns)])


def test_text_alone_is_answered_without_steering(model: VideoLanguageModel) -> None:
    request = GenerationRequest((Turn("user", (TextPart("Hello"),)),), SamplingParams(max_new_tokens=5))
    [answer] = model.generate([request])
    assert len(answer.token_ids) == 5
    assert not answer.trace.steered
    assert (answer.video_tokens, answer.vision) == (0, ())


def test_steering_reaches_the_video_tokens(model: VideoLanguageModel) -> None:
    """A learning rate this large must show, or the video mask points at nothing."""
    config = replace(ask(schedule="minimize").vreason, learning_rate=2.0, update_interval=1)
    request = ask(max_new_tokens=24)
    [plain], [steered] = (model.generate([r]) for r in (request, replace(request, vreason=config)))
    assert steered.trace.steered
    assert steered.trace.num_updates > 0
    assert plain.token_ids != steered.token_ids or not np.allclose(entropies(plain), entropies(steered))


def test_a_user_is_warned_where_time_is_lost(models: dict[str, VideoLanguageModel]) -> None:
    dense = ask(video=make_video(16, step=0.1), max_new_tokens=1)
    with pytest.warns(VideoTimeWarning, match="of the 8 frame pairs get the same position. Sample fewer frames"):
        [answer] = models["qwen2_5_vl"].generate([dense])
    assert "get the same position" in answer.notes[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert models["qwen3_vl"].generate([ask(max_new_tokens=1)])[0].notes == ()


def test_a_model_describes_itself_in_plain_data(model: VideoLanguageModel) -> None:
    described = json.loads(json.dumps(describe_model(model)))
    assert described["family"] == model.family.name
    assert described["context_tokens"] == 1024
    assert described["num_layers"] == 2
    assert (described["video"]["min_tokens"], described["video"]["max_tokens"]) == (4, 8)
    assert described["time_route"].startswith(ROUTES[model.family.name])


def test_a_callers_pixel_budget_is_kept(models: dict[str, VideoLanguageModel]) -> None:
    folder = models["qwen2_5_vl"].name
    small = load_model(folder, device="cpu", pixel_budget=PixelBudget(28 * 28, 2 * 28 * 28))
    assert small is not models["qwen2_5_vl"]
    [use] = small.encoder.encode(ask(video=make_video(4)).turns).uses
    assert (use.height_px * use.width_px, use.num_tokens) == (28 * 28, 2)


def test_the_bundled_model_answers(bundled: VideoLanguageModel) -> None:
    question = bundled.question_prompt("What color is it?", ("red", "blue"))
    request = ask(question, make_video(8, side=96), max_new_tokens=40)
    [answer] = bundled.generate([replace(request, vreason=ask(schedule="switching").vreason)])
    assert answer.token_ids
    assert answer.video_tokens == 4 * 9
    assert answer.text == bundled.tokenizer.decode(answer.token_ids, skip_special_tokens=True)
