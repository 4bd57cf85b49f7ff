"""What was read before is not read again, and changes nothing: every family in float64, plain and steered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.model.conftest import FAMILIES, ask, make_video
from tests.model.family_folders import NAMES, write_family
from tests.model.published import write_folder
from vreason_agent.decoding import VReasonConfig
from vreason_agent.model import Generation, GenerationRequest, TextPart, Turn, VideoLanguageModel, VideoPart, load_model
from vreason_agent.model.reuse import ReuseStore

pytestmark = pytest.mark.filterwarnings("ignore::vreason_agent.model.engine.VideoTimeWarning")
STRONG = VReasonConfig(schedule="maximize", learning_rate=0.3, update_interval=1, warmup_steps=1)
CLOSE = 1e-4  # transformers norms and rotates in float32 (2^-24 each time), whatever the model's type


QUICK = ("qwen2_5_vl", "qwen3_vl", "qwen3_5", "gemma4")
ALL = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in (*FAMILIES, *NAMES)]


@pytest.fixture(scope="module", params=ALL)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VideoLanguageModel:
    """Each family in turn, in float64, with nothing kept."""
    folder = tmp_path_factory.mktemp("reuse") / "m"
    written = write_folder(folder, request.param) if request.param in FAMILIES else write_family(folder, request.param)
    model = load_model(written, device="cpu")
    if "moe" not in request.param:  # torch multiplies by experts in single precision only
        model.hf_model.double()
    return model


@pytest.fixture(autouse=True)
def nothing_kept(request: pytest.FixtureRequest) -> None:
    if "model" in request.fixturenames:
        request.getfixturevalue("model").reuse.clear()


def fresh(model: VideoLanguageModel, request: GenerationRequest) -> Generation:
    return model.generate([replace(request, reuse=False)])[0]


@pytest.fixture
def no_features(model: VideoLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release of transformers whose prefill takes pixels only, as 5.18."""
    monkeypatch.setattr("vreason_agent.model.engine.takes_features", lambda hf_model: False)
    monkeypatch.setattr("vreason_agent.model.vision.takes_features", lambda hf_model: False)


@pytest.mark.usefixtures("no_features")
def test_where_the_prefill_takes_pixels_a_second_question_still_goes_on_from_the_video(
    model: VideoLanguageModel,
) -> None:
    if model.family.name in ("smolvlm", "llava_onevision"):
        pytest.skip("came to this package with releases whose prefill takes features")
    for number, text in enumerate(("What happens?", "What happens?", "How many are there?")):
        request = ask(text, make_video(6))
        told = model.generate([request])[0]
        assert_same(told, fresh(model, request))
        assert (told.reuse.cached_tokens > told.video_tokens) == bool(number)


def assert_same(one: Generation, other: Generation) -> None:
    assert one.token_ids == other.token_ids
    assert one.trace.entropy == pytest.approx(other.trace.entropy, abs=CLOSE)
    assert one.trace.num_updates == other.trace.num_updates


@pytest.mark.parametrize("vreason", [VReasonConfig(schedule="off"), STRONG], ids=["off", "steered"])
def test_a_retry_and_a_second_question_read_only_what_is_new(model: VideoLanguageModel, vreason: VReasonConfig) -> None:
    first = replace(ask("What happens in the clip?", make_video(6)), vreason=vreason)
    second = replace(ask("How many are there, and where?", make_video(6)), vreason=vreason)
    for number, request in enumerate((first, first, second)):
        told = model.generate([request])[0]
        assert_same(told, fresh(model, request))
        assert told.reuse.encoded_patches == (0 if number else told.reuse.encoded_patches)
        assert (told.reuse.cached_tokens > told.video_tokens) == bool(number)


def test_a_later_turn_goes_on_from_the_answer(model: VideoLanguageModel) -> None:
    first = ask("What happens?", make_video(4))
    answer = model.generate([first])[0]
    turns = (*first.turns, Turn("assistant", (TextPart(answer.text),)), Turn("user", (TextPart("And then?"),)))
    told = model.generate([replace(first, turns=turns)])[0]
    assert_same(told, fresh(model, replace(first, turns=turns)))
    assert told.reuse.cached_tokens > told.video_tokens


def test_samples_of_one_prompt_are_what_each_is_alone(model: VideoLanguageModel) -> None:
    requests = [replace(ask("What?", make_video(4), temperature=0.9, seed=seed), vreason=STRONG) for seed in range(3)]
    together = model.generate(requests)
    for told, request in zip(together, requests, strict=True):
        assert_same(told, fresh(model, request))


def test_more_frames_encode_each_pair_once(model: VideoLanguageModel) -> None:
    if not model.family.encodes_patches_alone:
        pytest.skip("this family's features are kept for whole videos")
    whole = make_video(16)
    encoded = 0
    for step in (4, 2, 1):
        pairs = np.arange(8)[::step]
        frames = np.concatenate([[2 * pair, 2 * pair + 1] for pair in pairs])
        video = VideoPart(whole.images[frames], tuple(np.array(whole.timestamps_seconds)[frames].tolist()))
        request = ask("What?", video)
        told = model.generate([request])[0]
        assert_same(told, fresh(model, request))
        encoded += told.reuse.encoded_patches
    assert encoded == 8


def test_another_picture_of_the_same_size_is_read(model: VideoLanguageModel) -> None:
    for seed in (0, 1):
        request = ask("What?", make_video(4, seed=seed))
        told = model.generate([request])[0]
        assert_same(told, fresh(model, request))
        assert told.reuse.cached_tokens < told.prompt_tokens - told.video_tokens


def test_what_is_kept_stays_within_its_bound() -> None:
    store = ReuseStore(max_bytes=10)
    for key, size in (("a", 4), ("b", 4), ("c", 4), ("huge", 11)):
        store.keep(key, key, size)
        if key == "b":
            assert store.find("a") == "a"  # used: `b` goes first
    assert [store.find(key) for key in ("a", "b", "c", "huge")] == ["a", None, "c", None]
    assert store.num_bytes == 8


def test_nothing_is_kept_where_that_is_asked_for(model: VideoLanguageModel) -> None:
    fresh(model, ask("What?", make_video(4)))
    assert model.reuse.num_bytes == 0


def test_lite_takes_what_was_kept_and_leaves_it_whole(model: VideoLanguageModel) -> None:
    request = ask("What happens?", make_video(6))
    before = model.generate([request])[0]
    lite = replace(request, vreason=VReasonConfig(schedule="off", lite=True))
    try:
        expected = fresh(model, lite)
    except Exception as exc:  # a family whose cache cannot be shortened
        pytest.skip(str(exc))
    assert_same(model.generate([lite])[0], expected)
    assert_same(model.generate([request])[0], before)
