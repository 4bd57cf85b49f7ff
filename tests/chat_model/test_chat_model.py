from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelTimeoutError,
)
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from tests.chat_model.fakes import SETTLED, FakeEngine, join_generations
from vreason_agent.chat_model import ChatVReason
from vreason_agent.decoding import DecodingTrace, VReasonConfig
from vreason_agent.errors import (
    ConfigError,
    GenerationError,
    ModelLoadError,
    VideoError,
    VideoNotFoundError,
    VideoTooLargeError,
)
from vreason_agent.messages import video_question
from vreason_agent.video import Isolation, Limits, ReadOptions, VideoReader, read_frames


def added_up(chunks: Any) -> AIMessageChunk:
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    assert isinstance(total, AIMessageChunk)
    return total


def without_ids(message: Any) -> dict[str, Any]:
    fields = ("content", "additional_kwargs", "response_metadata", "usage_metadata")
    return {name: getattr(message, name) for name in fields}


class TestAnswer:
    def test_the_answer_is_content_and_the_thinking_a_reasoning_block(self, engine: FakeEngine) -> None:
        message = ChatVReason().invoke("?")
        assert message.content == "red"
        assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
        assert message.additional_kwargs["reasoning_content"] == "At 0.0 s a red circle."

    def test_the_confidence_is_a_record_without_a_probability(self, engine: FakeEngine, clip: Path) -> None:
        message = ChatVReason().invoke([video_question(clip, "Which?", options=["blue", "red"])])
        record = message.response_metadata["confidence"]
        assert record["probability"] is None
        assert record["calibrated"] is False
        assert record["answer"] == {"text": "red", "choice": "B", "kind": "choice"}
        assert record["signals"]["answer_probability"] == pytest.approx(0.9048, abs=1e-4)
        assert record["signals"]["entropy_drop"] > 0.4
        assert record["evidence"]["num_frames"] == 4
        assert record["evidence"]["timestamps_seconds"] == [0.0, 0.25, 4.0, 4.25]
        assert record["steering"] == {
            "vreason": "on",
            "schedule": "switching",
            "entropy_seen": "steered",
            "unsteered_final_entropy": None,
        }

    def test_a_frame_that_two_times_lead_to_is_evidence_once(self, engine: FakeEngine, clip: Path) -> None:
        times = [0.0, 0.01, 4.0, 4.25]
        metadata = ChatVReason().invoke([video_question(clip, "Which?", timestamps_seconds=times)]).response_metadata
        assert metadata["confidence"]["evidence"]["num_frames"] == 3
        assert metadata["confidence"]["evidence"]["timestamps_seconds"] == [0.0, 4.0, 4.25]
        assert metadata["frames"][0]["timestamps_seconds"] == [0.0, 0.0, 4.0, 4.25]

    def test_a_picture_is_evidence_though_it_has_no_time(self, engine: FakeEngine, picture: Path) -> None:
        record = ChatVReason().invoke([video_question(picture, "Which?")]).response_metadata["confidence"]
        assert record["evidence"] == {"num_frames": 1, "timestamps_seconds": [], "rungs": []}

    def test_an_answer_that_cannot_be_read_is_none_with_a_warning(self, engine: FakeEngine) -> None:
        engine.text = "<think>Cut off in the middle of"
        record = ChatVReason().invoke("?").response_metadata["confidence"]
        assert record["answer"] == {"text": None, "choice": None, "kind": "unparsed"}
        assert record["signals"]["answer_probability"] is None
        assert "unparsed" in record["warnings"]

    def test_a_truncated_answer_is_marked(self, engine: FakeEngine) -> None:
        message = ChatVReason(max_tokens=5).invoke("?")
        assert message.response_metadata["finish_reason"] == "length"
        assert "truncated" in message.response_metadata["confidence"]["warnings"]

    def test_metadata_names_model_provider_finish_and_frames(self, engine: FakeEngine, clip: Path) -> None:
        metadata = ChatVReason().invoke([video_question(clip, "?")]).response_metadata
        assert metadata["model_name"] == "fake"
        assert metadata["model_provider"] == "vreason"
        assert metadata["finish_reason"] == "stop"
        assert metadata["frames"] == [
            {"source": str(clip), "kind": "video", "num_frames": 4, "timestamps_seconds": [0.0, 0.25, 4.0, 4.25]}
        ]
        assert metadata["vreason"]["schedule"] == "switching"
        assert metadata["vreason"]["config"]["learning_rate"] == VReasonConfig().learning_rate

    def test_usage_counts_video_and_reasoning_tokens(self, engine: FakeEngine, clip: Path) -> None:
        usage = ChatVReason().invoke([video_question(clip, "?")]).usage_metadata
        assert usage is not None
        num_new = len(engine.tokenizer.encode(SETTLED))
        num_thought = len(engine.tokenizer.encode("At 0.0 s a red circle."))
        assert (usage["input_tokens"], usage["output_tokens"]) == (45, num_new)
        assert usage["total_tokens"] == 45 + num_new
        assert usage["input_token_details"] == {"video": 40, "cache_read": 0}
        assert usage["output_token_details"] == {"reasoning": num_thought}

    def test_everything_on_the_message_is_json_plain(self, engine: FakeEngine, clip: Path) -> None:
        message = ChatVReason(logprobs=True, top_logprobs=2).invoke([video_question(clip, "?")])
        assert json.loads(json.dumps(message.response_metadata, allow_nan=False)) == message.response_metadata

    def test_the_trace_on_the_message_stays_short_however_long_the_answer(self, engine: FakeEngine) -> None:
        engine.text = "word " * 3000
        vreason = ChatVReason(max_tokens=10_000).invoke("?").response_metadata["vreason"]
        assert 128 <= len(vreason["entropy"]) <= 256
        assert len(vreason["phase"]) == len(vreason["entropy"])

    def test_logprobs_come_on_request_in_the_standard_shape(self, engine: FakeEngine) -> None:
        assert "logprobs" not in ChatVReason().invoke("?").response_metadata
        logprobs = ChatVReason(logprobs=True).invoke("?", top_logprobs=1).response_metadata["logprobs"]
        entry = next(entry for entry in logprobs["content"] if entry["token"] == "red")
        alternative = {"token": "red", "bytes": [114, 101, 100], "logprob": -0.1}
        assert entry == {**alternative, "top_logprobs": [alternative]}
        assert "".join(entry["token"] for entry in logprobs["content"]) == SETTLED

    def test_a_template_that_opens_the_thinking_is_noticed(self, engine: FakeEngine) -> None:
        engine.prompt_end, engine.text = "assistant\n<think>\n", "I see</think>red"
        message = ChatVReason().invoke("?")
        assert message.content == "red"
        assert message.additional_kwargs["reasoning_content"] == "I see"
        assert added_up(ChatVReason().stream("?")).content == "red"


class TestStreaming:
    def test_stream_adds_up_to_invoke(self, engine: FakeEngine, clip: Path) -> None:
        question, model = [video_question(clip, "?")], ChatVReason(logprobs=True)
        assert without_ids(added_up(model.stream(question))) == without_ids(model.invoke(question))

    async def test_the_async_ways_say_the_same(self, engine: FakeEngine, clip: Path) -> None:
        question, model = [video_question(clip, "?")], ChatVReason()
        expected = without_ids(model.invoke(question))
        assert without_ids(await model.ainvoke(question)) == expected
        assert without_ids(added_up([chunk async for chunk in model.astream(question)])) == expected
        assert [without_ids(message) for message in model.batch([question, question])] == [expected] * 2
        assert [without_ids(message) for message in await model.abatch([question])] == [expected]

    def test_both_output_versions_add_up_to_invoke(self, engine: FakeEngine) -> None:
        model = ChatVReason(output_version="v1")
        streamed, invoked = added_up(model.stream("?")), model.invoke("?")
        blocks = [{key: value for key, value in block.items() if key != "index"} for block in streamed.content_blocks]
        assert blocks == invoked.content_blocks
        assert streamed.response_metadata["confidence"] == invoked.response_metadata["confidence"]

    def test_metadata_is_on_the_last_chunk_only(self, engine: FakeEngine) -> None:
        *chunks, last = ChatVReason().stream("?")
        assert all("confidence" not in chunk.response_metadata for chunk in chunks)
        assert all(chunk.usage_metadata is None for chunk in chunks)
        assert last.chunk_position == "last"
        assert last.response_metadata["confidence"]["schema"] == "vreason.confidence/1"

    def test_tokens_come_one_by_one_while_the_model_still_writes(self, engine: FakeEngine) -> None:
        engine.text, engine.gate = "one two three", threading.Semaphore(1)
        stream = ChatVReason().stream("?")
        assert next(stream).content == "one"
        assert engine.num_made == 1
        engine.gate.release(100)
        assert "".join(str(chunk.content) for chunk in stream) == " two three"

    def test_a_consumer_that_breaks_ends_the_generation(self, engine: FakeEngine) -> None:
        engine.text, engine.gate = "one two three four five six", threading.Semaphore(1)
        stream = ChatVReason().stream("?")
        next(stream)
        threading.Timer(0.05, engine.gate.release, (100,)).start()
        stream.close()  # type: ignore[attr-defined]
        assert engine.num_made == 2

    async def test_a_cancelled_invoke_ends_the_generation(self, engine: FakeEngine) -> None:
        engine.text, engine.gate = "one two three four five six", threading.Semaphore(1)
        task = asyncio.create_task(ChatVReason().ainvoke("?"))
        while engine.num_made < 1:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        engine.gate.release(100)
        await asyncio.to_thread(join_generations)
        assert engine.num_made <= 2  # the token it was at, or the next

    def test_a_callback_that_raises_ends_the_generation(self, engine: FakeEngine) -> None:
        class Interrupt(BaseCallbackHandler):
            raise_error = True

            def on_llm_new_token(self, token: Any, **_: Any) -> None:
                raise KeyboardInterrupt

        engine.text, engine.gate = "one two three four five six", threading.Semaphore(1)
        threading.Timer(0.5, engine.gate.release, (100,)).start()
        with pytest.raises(KeyboardInterrupt):
            list(ChatVReason().stream("?", {"callbacks": [Interrupt()]}))
        assert engine.num_made == 2

    def test_files_of_messages_lie_in_the_allowed_folders(self, engine: FakeEngine, clip: Path, tmp_path: Path) -> None:
        asked = [video_question(clip, "?")]
        assert ChatVReason(read_options=ReadOptions([clip.parent])).invoke(asked).content == "red"
        model = ChatVReason(read_options=ReadOptions([str(tmp_path)]))
        for ask in (model.invoke, ChatVReason().bind(read_options=ReadOptions([tmp_path])).invoke):
            with pytest.raises(VideoError, match="outside the allowed folders"):
                ask(asked)
        with pytest.raises(ConfigError, match=r"no list of paths; give one, e\.g\. \['clips'\]"):
            ReadOptions("clips")

    def test_callbacks_are_told_the_logprobs_of_each_token_once(self, engine: FakeEngine) -> None:
        class Told(BaseCallbackHandler):
            def __init__(self) -> None:
                self.calls: list[list[dict[str, Any]]] = []

            def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
                self.calls.append(chunk.message.response_metadata.get("logprobs", {}).get("content", []))

        told = Told()
        message = added_up(ChatVReason(logprobs=True).stream("?", {"callbacks": [told]}))
        content = [entry for call in told.calls for entry in call]
        assert content == message.response_metadata["logprobs"]["content"]
        assert sum(map(bool, told.calls)) > 3, "as they come"
        awaited = Told()
        asyncio.run(ChatVReason(logprobs=True, streaming=True).ainvoke("?", {"callbacks": [awaited]}))
        assert [entry for call in awaited.calls for entry in call] == content
        silent = Told()
        list(ChatVReason().stream("?", {"callbacks": [silent]}))
        assert not any(silent.calls)

    @pytest.mark.parametrize("way", ["invoke", "stream"])
    def test_time_running_out_is_an_error_that_says_what_to_change(self, engine: FakeEngine, way: str) -> None:
        engine.gate = threading.Semaphore(0)
        threading.Timer(0.1, engine.gate.release, (100,)).start()
        model = ChatVReason(timeout=0.05)
        with pytest.raises(
            GenerationError, match=r"timeout=0.05 s passed after 1 tokens; raise timeout or lower"
        ) as error:
            model.invoke("?") if way == "invoke" else list(model.stream("?"))
        assert isinstance(error.value, ModelTimeoutError)
        assert engine.num_made == 1


class TestSettings:
    def test_a_misspelt_argument_is_an_error_that_lists_the_names(self) -> None:
        with pytest.raises(ConfigError, match=r"no argument 'temprature'; use one of: model, revision, .*temperature"):
            ChatVReason(temprature=1.0)  # type: ignore[call-arg]

    def test_a_misspelt_argument_of_a_call_is_the_same_error(self, engine: FakeEngine) -> None:
        with pytest.raises(ConfigError, match="no argument 'temprature'"):
            ChatVReason().invoke("?", temprature=1.0)
        with pytest.raises(ModelInvalidRequestError, match="no argument 'temprature'"):
            ChatVReason().bind(temprature=1.0).invoke("?")

    def test_an_argument_out_of_range_says_what_is_allowed(self, engine: FakeEngine) -> None:
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"temperature": -1}, "temperature=-1: Input should be greater than or equal to 0"),
            ({"temperature": float("inf")}, "temperature=inf: Input should be a finite number"),
            ({"seed": 2**70}, "seed=1180591620717411303424: Input should be less than 9223372036854775808"),
            ({"num_frames": 5}, "num_frames=5: Input should be a multiple of 2"),
            ({"start_seconds": 3, "stop_seconds": 1}, "stop_seconds=1 is not after start_seconds=3; give a later one"),
            ({"max_tokens": 0}, "max_tokens=0: Input should be greater than or equal to 1"),
            ({"num_frames": 0}, "num_frames=0: Input should be greater than or equal to 2"),
            ({"vreason": "sideways"}, "use one of: off, switching"),
            ({"vreason": {"learning_rat": 1}}, "unknown V-Reason config field 'learning_rat'; use one of"),
            ({"vreason": 3}, "give a VReasonConfig, a schedule"),
            ({"dtype": "float99"}, "'float99' is not supported; pass one of: auto, float32, bfloat16, float16"),
            ({"logprobs": False, "top_logprobs": 3}, "leave logprobs out, or give top_logprobs=None"),
        ]
        for arguments, match in wrong:
            with pytest.raises(ConfigError, match=match):
                ChatVReason(**arguments)
            with pytest.raises(ModelInvalidRequestError, match=match):
                ChatVReason().invoke("?", **arguments)
        assert engine.requests == []

    def test_no_alternatives_are_no_contradiction_to_no_logprobs(self, engine: FakeEngine) -> None:
        for num_alternatives in (0, None):
            asked = ChatVReason(logprobs=False, top_logprobs=num_alternatives)
            assert "logprobs" not in asked.invoke("?").response_metadata
        with pytest.raises(ConfigError, match="leave logprobs out, or give top_logprobs=None"):
            ChatVReason(top_logprobs=3).invoke("?", logprobs=False)

    def test_precisions_and_vreason_can_be_written_in_every_way(self) -> None:
        for dtype in ("auto", "float32", "torch.bfloat16", "float16", None):
            assert ChatVReason(dtype=dtype).dtype == dtype
        values: list[Any] = [VReasonConfig(schedule="off"), "off", {"schedule": "off"}]
        for value in values:
            assert ChatVReason(vreason=value).vreason == VReasonConfig(schedule="off")

    def test_constructing_loads_nothing(self, engine: FakeEngine) -> None:
        ChatVReason()
        assert engine.loads == []

    def test_tracing_parameters_follow_the_call(self) -> None:
        params = ChatVReason(temperature=0.5)._get_ls_params(stop=["END"], model="other", max_tokens=9)
        assert params == {
            "ls_provider": "vreason",
            "ls_model_name": "other",
            "ls_model_type": "chat",
            "ls_temperature": 0.5,
            "ls_max_tokens": 9,
            "ls_stop": ["END"],
        }

    def test_our_version_is_among_the_versions(self) -> None:
        assert "vreason-agent" in (ChatVReason().metadata or {})["lc_versions"]

    def test_tokens_are_counted_by_the_models_own_tokenizer(self, engine: FakeEngine, clip: Path) -> None:
        assert ChatVReason().get_num_tokens("a red circle") == 5
        assert ChatVReason().get_num_tokens_from_messages([video_question(clip, "?")]) == 45


class TestErrors:
    def test_a_prompt_over_the_context_is_langchains_overflow_too(self, engine: FakeEngine, clip: Path) -> None:
        engine.context_length = 40
        with pytest.raises(ContextOverflowError, match="use fewer frames") as error:
            ChatVReason().invoke([video_question(clip, "?")])
        assert isinstance(error.value, GenerationError)

    def test_the_context_is_counted_before_a_frame_is_decoded(
        self, engine: FakeEngine, clip: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each video fits, both do not; the fake engine counts 10 tokens a frame."""
        true_read, read = VideoReader.read, []

        def noted(*args: Any, **how: Any) -> Any:
            read.append(args)
            return true_read(*args, **how)

        monkeypatch.setattr(VideoReader, "read", noted)
        engine.context_length = 70
        video = {"type": "video", "url": str(clip)}
        with pytest.raises(ContextOverflowError, match=r"8 frames make a prompt of 80 tokens.* 70, .*use fewer frames"):
            ChatVReason().invoke([HumanMessage([video, video])])
        assert len(read) == 1
        with pytest.raises(ContextOverflowError, match="use fewer frames"):
            ChatVReason(num_frames=8).invoke([HumanMessage([video])])
        assert len(read) == 1

    @pytest.mark.parametrize("isolation", [None, Isolation()])
    def test_pictures_are_counted_before_one_is_decoded(
        self, engine: FakeEngine, picture: Path, isolation: Isolation | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A list of 1,200 frames was decoded whole, and then refused."""
        monkeypatch.setattr("vreason_agent.video.images.load_cv2", lambda: pytest.fail("decoded here"))
        monkeypatch.setattr("vreason_agent.video.picture_decoder.WorkerProcess", lambda _: pytest.fail("started"))
        data = {"base64": base64.b64encode(picture.read_bytes()).decode(), "mime_type": "image/png"}
        one = "1 images make a prompt of 5 .*use fewer images"
        forms: list[tuple[Any, str]] = [
            ({"type": "video", "video": [str(picture)] * 8}, "8 frames make a prompt of 80 .*use fewer frames"),
            ({"type": "image", "url": str(picture)}, one),
            ({"type": "image", **data}, one),
            ({"type": "video", **data}, one),
        ]
        engine.context_length = 5
        for block, match in forms:
            with pytest.raises(ContextOverflowError, match=match):
                ChatVReason(read_options=ReadOptions(isolation=isolation)).invoke([HumanMessage([block])])

    def test_images_and_frames_are_counted_together(self, engine: FakeEngine, clip: Path, picture: Path) -> None:
        engine.context_length = 45
        blocks: list[Any] = [{"type": "image", "url": str(picture)}, {"type": "video", "url": str(clip)}]
        with pytest.raises(ContextOverflowError, match=r"1 images and 4 frames make a prompt of 45 .*use fewer frames"):
            ChatVReason().invoke([HumanMessage(blocks)])
        engine.context_length = 46
        assert ChatVReason().invoke([HumanMessage(blocks)]).content

    @pytest.mark.parametrize("isolation", [None, Isolation()])
    def test_limits_hold_for_a_list_of_frames(
        self, engine: FakeEngine, picture: Path, isolation: Isolation | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All but the last were ignored."""
        monkeypatch.setattr("vreason_agent.video.picture_decoder.decode_image", lambda *_: pytest.fail("decoded"))
        monkeypatch.setattr(
            "vreason_agent.video.picture_decoder.WorkerProcess.decode_image",
            lambda *_: pytest.fail("decoded elsewhere"),
        )
        block: Any = {"type": "video", "video": [str(picture)] * 8}
        for limits, match in (
            (Limits(max_frames=7), "max_frames=7; ask for fewer at a time"),
            (Limits(max_result_bytes=36863), "max_result_bytes=36,863; give a smaller max_side_px, or ask for fewer"),
            (Limits(max_seconds=3.4), "list of 8 frames is 3.5 s long, more than max_seconds=3.4; give fewer frames"),
            (Limits(max_wall_seconds=0.0), "max_wall_seconds=0; ask for fewer frames"),
            (Limits(max_pixels=1535), "more than max_pixels=1,535; scale it down first"),
        ):
            model = ChatVReason(read_options=ReadOptions(limits=limits, isolation=isolation))
            with pytest.raises(VideoTooLargeError, match=match):
                model.invoke([HumanMessage([block])])

    def test_the_limits_of_the_application_hold_for_every_message(self, engine: FakeEngine, clip: Path) -> None:
        with pytest.raises(VideoTooLargeError, match=r"max_frames=3; ask for fewer at a time"):
            ChatVReason(read_options=ReadOptions(limits=Limits(max_frames=3))).invoke([video_question(clip, "?")])

    def test_a_missing_video_is_both_kinds_of_error(self, engine: FakeEngine, tmp_path: Path) -> None:
        with pytest.raises(ModelInvalidRequestError) as error:
            ChatVReason().invoke([video_question(tmp_path / "none.mp4", "?")])
        assert isinstance(error.value, VideoNotFoundError)
        assert isinstance(error.value, FileNotFoundError)

    def test_an_http_address_is_refused_with_what_to_do(self, engine: FakeEngine) -> None:
        block: Any = {"type": "video", "url": "https://example.com/a.mp4"}
        with pytest.raises(ModelInvalidRequestError, match="download the file and give its path"):
            ChatVReason().invoke([HumanMessage([block])])

    def test_a_missing_model_is_both_kinds_of_error(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError) as error:
            ChatVReason(model=str(tmp_path / "none")).invoke("?")
        assert isinstance(error.value, ModelLoadError)

    async def test_async_errors_are_the_same(self, engine: FakeEngine, tmp_path: Path) -> None:
        with pytest.raises(ModelInvalidRequestError):
            await ChatVReason().ainvoke([video_question(tmp_path / "none.mp4", "?")])
        with pytest.raises(ModelInvalidRequestError):
            _ = [chunk async for chunk in ChatVReason().astream([video_question(tmp_path / "none.mp4", "?")])]


def test_reading_frames_does_not_block_the_event_loop(engine: FakeEngine, clip: Path, monkeypatch: Any) -> None:
    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.1)
        return read_frames(*args, **kwargs)

    monkeypatch.setattr("vreason_agent.chat.frame_loader.read_frames", slow)

    async def run() -> int:
        task = asyncio.create_task(ChatVReason().ainvoke([video_question(clip, "?")]))
        num_turns = 0
        while not task.done():
            num_turns += 1
            await asyncio.sleep(0.005)
        assert isinstance(await task, AIMessage)
        return num_turns

    assert asyncio.run(run()) > 5


def test_a_shared_cache_tells_output_versions_apart() -> None:
    old, new = (ChatVReason(output_version=version)._identifying_params for version in (None, "v1"))
    assert old != new
    assert json.loads(json.dumps(old)) == old


def test_the_whole_trace_can_be_had(engine: FakeEngine) -> None:
    message = ChatVReason(trace="full").invoke("?")
    assert DecodingTrace.from_dict(json.loads(json.dumps(message.response_metadata["trace"]))).token_ids
    assert added_up(ChatVReason(trace="full").stream("?")).response_metadata == message.response_metadata
    assert "trace" not in ChatVReason().invoke("?").response_metadata


def test_why_an_answer_ended_is_said_in_langchains_words(engine: FakeEngine) -> None:
    for max_tokens, expected in ((1024, ("stop", "stop", "complete")), (2, ("length", "length", "incomplete"))):
        for message in (
            ChatVReason().invoke("?", max_tokens=max_tokens),
            added_up(ChatVReason().stream("?", max_tokens=max_tokens)),
        ):
            found = message.response_metadata
            names = ("finish_reason", "normalized_finish_reason", "finish_state")
            assert tuple(found[name] for name in names) == expected


def test_invoke_generates_on_a_thread_as_stream_does(engine: FakeEngine) -> None:
    """On the main thread it was ten times slower beside a busy process."""
    names: list[str] = []
    generate = engine.generate

    def noted(*args: Any, **how: Any) -> Any:
        names.append(threading.current_thread().name)
        return generate(*args, **how)

    engine.generate = noted  # type: ignore[method-assign]
    ChatVReason().invoke("?")
    [*ChatVReason().stream("?")]
    assert names == ["vreason-generate"] * 2
