"""`ChatVReason`: a local video-language model under V-Reason decoding as a LangChain chat model.

Weights live in the process-wide registry of `vreason_agent.model`, not in the instance: instances are cheap, pickle and
copy, and many share one model. This module knows no graph and no tool.
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from itertools import chain
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.globals import get_llm_cache
from langchain_core.language_models import LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool

from vreason_agent.chat.batching import SharedCalls
from vreason_agent.chat.cache_keys import with_fingerprints
from vreason_agent.chat.conversation import Conversation, read_messages
from vreason_agent.chat.fields import ChatFields, model_profile
from vreason_agent.chat.frame_loader import ContextBudget, FrameDefaults, FrameLoader
from vreason_agent.chat.langchain_errors import as_langchain_errors
from vreason_agent.chat.output_format import FormatLimits
from vreason_agent.chat.response import PROVIDER, PreparedCall
from vreason_agent.chat.streaming import Stopper, aiterate, arun, interrupted_by, iterate, run
from vreason_agent.chat.structured import Method, structured_output
from vreason_agent.chat.tool_calls import read_tools, tool_use
from vreason_agent.confidence import find_calibrators
from vreason_agent.model import GenerationRequest, Turn, VideoLanguageModel, load_model
from vreason_agent.model.memory_plan import TEXT_TOKENS, MemoryPlanner, picture_sizes, planner_of
from vreason_agent.model.prompts import with_instructions
from vreason_agent.model.source import BUNDLED_NAME, default_model
from vreason_agent.video_session import VideoSession

__all__ = ["ChatVReason", "SchemaWarning", "UntrainedFormatWarning", "interrupted_by"]


class SchemaWarning(UserWarning):
    """A JSON schema uses keywords that constrained decoding does not enforce."""


class UntrainedFormatWarning(UserWarning):
    """Tools or a schema were given to the bundled model, which was not trained on them."""


class ChatVReason(ChatFields):
    """Answers questions about videos, images and text with a local model; nothing leaves the machine.

    Every field can also be given per call (`invoke(..., seed=1)`, `bind(num_frames=8)`). Messages may hold standard
    text, image and video blocks (`vreason_agent.messages.video_question` makes one); the answer is `content`, the
    thinking a `reasoning` block, and `response_metadata` has `confidence`, `vreason` (the trace in short), `frames` and
    `vision` (what each picture cost in pixels and tokens).

    Attributes:
        model: Folder, hub id, or `None` for `VREASON_MODEL`, then the bundled model (it knows its toy world only).
        revision: Revision of a hub model.
        device: `"cpu"`, `"cuda"`, `"mps"`; `None` chooses.
        dtype: Such as `"bfloat16"`; `None` chooses.
        enable_thinking: Whether a model that can do both thinks first (chat templates that know the switch, such as
            Qwen3.5's); `None` leaves it to the template. Each value that is used loads the model once.
        temperature: 0 is greedy; higher is more random.
        top_p: Keep the likeliest tokens up to this probability.
        top_k: Keep this many tokens.
        min_p: Keep tokens with at least this share of the likeliest one's probability.
        repetition_penalty: Above 1 makes repeated tokens less likely.
        max_tokens: Most tokens to generate.
        seed: Of sampling; the same seed on the same machine gives the same tokens.
        stop: Texts that end the answer; never part of it.
        num_frames: Frames to look at where a message does not say; even. More see more and cost more.
        max_frames: Most frames that a message may ask of a video (or `num_frames`, if that is more), and those of a
            ladder's last rung: fixes the distance of the two frames of a pair.
        start_seconds: Beginning of the part of a video to look at, where a message does not say.
        stop_seconds: End of it, exclusive.
        read_options: How files are read: allowed folders (`roots`; set them where others than you write messages),
            limits that no message can raise, isolation in a separate process, and the decoder; see `ReadOptions`.
        subtitles: What is said while the frames are shown goes into the prompt with its times: `"auto"` takes a file
            beside the video that ends in `.srt` or `.vtt`, else the video's own first text stream; or the path of such
            a file. `"none"`: nothing. Needs PyAV, and no isolation.
        vreason: How decoding is steered: a `VReasonConfig`, a schedule's name, or a dict of fields.
        tools: Tools the model may call, usually given by `bind_tools`.
        tool_choice: Whether it may, must or must not call one; see `bind_tools`.
        parallel_tool_calls: Whether one answer may hold several calls.
        response_format: OpenAI's `{"type": "json_schema" | "json_object", ...}`; see `with_structured_output`.
        logprobs: Whether to report log-probabilities in OpenAI's shape.
        top_logprobs: Alternatives per token to report; turns `logprobs` on.
        calibrator: What gives answers a probability of being right: `"shipped"`, the package's own calibrators where
            they were fitted on this model; the path of a file that `vreason-agent calibrate` wrote; `None` for none.
        trace: `"full"` adds the whole trace of decoding as `response_metadata["trace"]`, which
            `DecodingTrace.from_dict` reads; `"short"` reports the summary and a thinned series alone.
        reuse: Whether what the model has read before is not read again: frames it has seen, and the beginning of a
            prompt that it shares with an earlier one. Answers differ by rounding only. How much is kept is the loaded
            model's, 512 MiB unless you change it: `chat_model.engine.reuse.max_bytes`.
        max_memory: Most memory that one answer may need, such as `"8GB"`; estimated before weights are loaded and
            before frames are decoded. What does not fit is an error that names what would. What is kept for later
            (`reuse`) gets the rest.
        timeout: Seconds after which an unfinished answer is an error.
        batch_size: Most inputs of `batch` and `abatch` that go through the model together; more are faster in all and
            take more memory. A lower `max_concurrency` of the call's config is obeyed.
        streaming: Whether `invoke` streams internally (LangChain's switch); `False` turns off `stream` as well.
        stream_usage: Accepted for compatibility; usage is always reported.
        max_retries: Accepted for compatibility; there is no network to retry.
        api_key: Accepted for compatibility; there is no key.

    Raises:
        ConfigError: If a field is unknown or out of its range.
    """

    @property
    def engine(self) -> VideoLanguageModel:
        """The loaded model; the first access loads it."""
        with as_langchain_errors():
            if self.max_memory is not None:
                self._planner.check(int(self.max_memory), (), max_new_tokens=self.max_tokens)
            return load_model(
                self.model,
                revision=self.revision,
                device=self.device,
                dtype=self.dtype,
                enable_thinking=self.enable_thinking,
            )

    @property
    def _llm_type(self) -> str:
        return "vreason-chat"

    def _resolve_model_profile(self) -> ModelProfile:
        return model_profile(self.model, self.revision)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        call = self.for_call(stop, kwargs)
        params = LangSmithParams(
            ls_provider=PROVIDER,
            ls_model_name=call.model or default_model(),
            ls_model_type="chat",
            ls_temperature=call.temperature,
            ls_max_tokens=call.max_tokens,
        )
        if stops := call.stop_texts:
            params["ls_stop"] = list(stops)
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return the tokens of a text, by the model's own tokenizer unless `custom_get_token_ids` is set."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return list(self.engine.tokenizer.encode(text, add_special_tokens=False))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Return how many tokens these messages have, frames included (they are read for it); any part of a talk."""
        call = self.for_call(None, {} if tools is None else {"tools": tools})
        with as_langchain_errors():
            turns = call._turns(call._conversation(messages)) if messages else ()
            return call.engine.count_tokens(turns, call._tools)

    def generate(self, messages: list[list[BaseMessage]], *args: Any, **kwargs: Any) -> LLMResult:
        """Answer each list of messages; where a cache is used, a file that was overwritten is asked about again."""
        return super().generate(self._as_cached(messages), *args, **_with_stream(kwargs))

    async def agenerate(self, messages: list[list[BaseMessage]], *args: Any, **kwargs: Any) -> LLMResult:
        """Do the same without blocking the event loop."""
        return await super().agenerate(self._as_cached(messages), *args, **_with_stream(kwargs))

    def _as_cached(self, messages: list[list[BaseMessage]]) -> list[list[BaseMessage]]:
        is_cached = self.cache is not False and bool(self.cache or get_llm_cache())
        return [with_fingerprints(each) for each in messages] if is_cached else messages

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer each input, `batch_size` at a time through shared forward passes.

        Everything else is as if they were invoked one by one: callbacks, cache, errors.
        """
        calls = SharedCalls(self, max_rows=self.for_call(None, kwargs).batch_size)
        return calls.batch(inputs, config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Do the same without blocking the event loop."""
        calls = SharedCalls(self, max_rows=self.for_call(None, kwargs).batch_size)
        return await calls.abatch(inputs, config, return_exceptions=return_exceptions, **kwargs)

    def open_video(
        self,
        video: str | os.PathLike[str],
        *,
        num_frames: int | None = None,
        start_seconds: float | None = None,
        stop_seconds: float | None = None,
    ) -> VideoSession:
        """Return a session of questions about one video; its frames are read and encoded once.

        Messages that you make yourself reuse as much: a session only keeps the video and the number of frames.

        Args:
            video: Path or `file://` URL; it is opened by the first question.
            num_frames: Frames to look at, even; `None` takes the field. `add_frames` raises it.
            start_seconds: Beginning of the part that is asked about.
            stop_seconds: End of it, exclusive.
        """
        return VideoSession(
            self,
            video,
            num_frames=self.num_frames if num_frames is None else num_frames,
            max_frames=self.max_frames,
            start_seconds=start_seconds,
            stop_seconds=stop_seconds,
        )

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        parallel_tool_calls: bool = True,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools that it may call.

        What is called is enforced: a call always names one of the tools, and its arguments always follow that tool's
        schema, whether or not the model was trained on tools.

        Args:
            tools: Functions, Pydantic classes, `BaseTool`s or JSON schemas.
            tool_choice: `None` or `"auto"` leaves it to the model, `"any"` makes it call a tool, `"none"` keeps it from
                it, a tool's name makes it call that one.
            parallel_tool_calls: Whether one answer may hold several calls, at most 16.
            strict: Part of the tools' definitions, for compatibility; schemas are always enforced.
            **kwargs: Bound as well, such as `response_format` for the answer that is no call.

        Raises:
            ConfigError: If a tool has no name, or `tool_choice` names none of them.
        """
        with as_langchain_errors():
            definitions = read_tools(tools, strict=strict)
            tool_use(definitions, tool_choice)
        bound = {"tools": definitions, "tool_choice": tool_choice, "parallel_tool_calls": parallel_tool_calls}
        return self.bind(**{name: value for name, value in bound.items() if value is not None}, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return a chain that answers with instances of a schema.

        Args:
            schema: A Pydantic class (instances of it are returned), a `TypedDict` class or a JSON schema (dicts are).
            method: `"json_schema"` puts the schema into the prompt and enforces it on the answer;
                `"function_calling"` enforces the call of a tool that takes it; `"json_mode"` enforces JSON of the
                schema, or any object without one, and leaves it to the prompt to say which.
            include_raw: Return a dict of `raw` (the message), `parsed` and `parsing_error` rather than raise.
            strict: For compatibility; schemas are always enforced.
            **kwargs: Bound to the call as well, such as `temperature`.

        Raises:
            ConfigError: If there is no such method, or no schema where one is needed.
        """
        with as_langchain_errors():
            return structured_output(self, schema, method=method, include_raw=include_raw, strict=strict, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with as_langchain_errors():
            call = self.for_call(stop, kwargs)._prepare(messages)
            return call.result(run(call.run, call.stopper))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with as_langchain_errors():
            call = await asyncio.to_thread(self.for_call(stop, kwargs)._prepare, messages)
            return call.result(await arun(call.run, call.stopper))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # Only the event protocol, which does not add chunks up, passes a run manager: elsewhere LangChain tells it.
        with as_langchain_errors():
            call = self.for_call(stop, kwargs)._prepare(messages)
            with closing(iterate(call.run, call.stopper)) as items:
                for chunk in chain.from_iterable(call.chunks(item, is_added_up=not run_manager) for item in items):
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk, **(chunk.generation_info or {}))
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with as_langchain_errors():
            call = await asyncio.to_thread(self.for_call(stop, kwargs)._prepare, messages)
            async with aclosing(aiterate(call.run, call.stopper)) as items:
                async for item in items:
                    for chunk in call.chunks(item, is_added_up=not run_manager):
                        if run_manager:
                            info = chunk.generation_info or {}
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk, **info)
                        yield chunk

    def prepared(self, messages: Sequence[BaseMessage]) -> PreparedCall:
        """Return the request that these messages make, its frames read, for other faces of the same engine."""
        with as_langchain_errors():
            return self._prepare(messages)

    def _prepare(self, messages: Sequence[BaseMessage]) -> PreparedCall:
        engine, output_format = self.engine, self.output_format
        conversation = self._conversation(messages, budget=ContextBudget(engine.context_length, self._count_tokens))
        in_reasoning = engine.starts_in_reasoning
        if ignored := output_format.unenforced:
            told = f"this part of the schema is not enforced while decoding: {'; '.join(ignored)}; check it afterwards"
            warnings.warn(told, SchemaWarning, stacklevel=2)
        grammar = None
        if output_format.is_enforced:
            limits = self._format_limits(engine.name, has_pictures=bool(conversation.evidence))
            grammar = output_format.grammar(engine.grammar_words, starts_in_reasoning=in_reasoning, limits=limits)
        request = GenerationRequest(
            turns=self._turns(conversation),
            sampling=self.sampling,
            vreason=self.vreason_config,
            tools=self._tools,
            grammar=grammar,
            options=() if output_format.is_enforced else conversation.options,
            reuse=self.reuse,
        )
        return PreparedCall(
            engine,
            request,
            conversation,
            Stopper(self.timeout),
            output_format,
            starts_in_reasoning=in_reasoning,
            has_logprobs=bool(self.logprobs or self.top_logprobs),
            has_trace=self.trace == "full",
            calibrators=find_calibrators(self.calibrator, engine.weights_digest),
        )

    @property
    def _planner(self) -> MemoryPlanner:
        return planner_of(self.model, revision=self.revision, device=self.device, dtype=self.dtype)

    def _count_tokens(self, turns: Sequence[Turn]) -> int:
        """Count those of pictures before one is decoded, and compare what they need with `max_memory`."""
        engine = self.engine
        num_tokens = engine.count_tokens(turns)
        if self.max_memory is not None:
            limit = int(self.max_memory)
            needed = self._planner.check(
                limit,
                picture_sizes([part for turn in turns for part in turn.parts]),
                prompt_tokens=num_tokens + TEXT_TOKENS,
                max_new_tokens=self.max_tokens,
                is_steered=self.vreason_config.is_steering,
                is_lite=self.vreason_config.lite,
                is_resized_early=True,
            )
            engine.reuse.max_bytes = min(engine.reuse.max_bytes, limit - needed.total)
        return num_tokens

    def _format_limits(self, engine_name: str, *, has_pictures: bool) -> FormatLimits:
        if engine_name != BUNDLED_NAME:
            return FormatLimits(thought_tokens=self.max_tokens // 2, string_chars=2 * self.max_tokens)
        told = "the bundled model was not trained on tools and schemas: its output has their form, and no meaning"
        warnings.warn(f"{told}; load a published model for them", UntrainedFormatWarning, stacklevel=2)
        return FormatLimits(self.max_tokens // 2 if has_pictures else 64, string_chars=128, calls=1)

    def _turns(self, conversation: Conversation) -> tuple[Turn, ...]:
        instructions = self.output_format.instructions
        return conversation.turns if instructions is None else with_instructions(conversation.turns, instructions)

    @property
    def _tools(self) -> tuple[Mapping[str, Any], ...]:
        return self.output_format.use.tools if self.output_format.has_calls else ()

    def _conversation(self, messages: Sequence[BaseMessage], *, budget: ContextBudget | None = None) -> Conversation:
        defaults = FrameDefaults(self.num_frames, self.max_frames, self.start_seconds, self.stop_seconds)
        engine = self.engine
        loader = FrameLoader(defaults, self.read_options, engine.frame_resize, self.subtitles, budget)
        return read_messages(messages, wording=engine.question_prompt, loader=loader)


def _with_stream(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return a call's arguments with `streaming` by the name that LangChain looks for in them."""
    return {"stream" if name == "streaming" else name: value for name, value in kwargs.items()}
