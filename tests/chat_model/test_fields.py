"""Claims about every argument of `ChatVReason`, none left out: per call it does what it does in the constructor."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import ConfigurableField
from pydantic import SecretStr

from tests.chat_model.fakes import FakeEngine
from vreason_agent.chat.fields import own_fields
from vreason_agent.chat_model import ChatVReason
from vreason_agent.errors import ConfigError
from vreason_agent.messages import video_question
from vreason_agent.video import Isolation, Limits, ReadOptions

TOOL = {"type": "function", "function": {"name": "zoom", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object", "properties": {}}}}
HERE = str(Path(__file__).parent)
TOOLS = {"tools": [TOOL]}
# Each argument: a value that is not the default, what of a call it changes, and the arguments it needs beside it.
CHANGES: dict[str, tuple[Any, set[str], dict[str, Any]]] = {
    "model": ("other", {"model"}, {}),
    "revision": ("main", {"revision"}, {}),
    "device": ("cpu", {"device"}, {}),
    "dtype": ("bfloat16", {"dtype"}, {}),
    "enable_thinking": (False, {"enable_thinking"}, {}),
    "temperature": (0.5, {"temperature"}, {}),
    "top_p": (0.5, {"top_p"}, {}),
    "top_k": (5, {"top_k"}, {}),
    "min_p": (0.5, {"min_p"}, {}),
    "repetition_penalty": (1.5, {"repetition_penalty"}, {}),
    "max_tokens": (3, {"max_new_tokens", "content", "num_tokens"}, {}),
    "seed": (7, {"seed"}, {}),
    "stop": (["END"], {"stop"}, {}),
    "num_frames": (8, {"times"}, {}),
    "max_frames": (16, {"times"}, {}),
    "start_seconds": (4.0, {"times"}, {}),
    "stop_seconds": (4.0, {"times"}, {}),
    "read_options": (ReadOptions([HERE]), {"error"}, {}),
    "subtitles": ("notes.txt", {"error"}, {}),
    "vreason": ("off", {"schedule"}, {}),
    "tools": ([TOOL], {"tools", "grammar"}, {}),
    "tool_choice": ("any", {"grammar"}, TOOLS),
    "parallel_tool_calls": (False, {"grammar"}, TOOLS),
    "response_format": (SCHEMA, {"grammar", "turns", "content"}, {}),
    "logprobs": (True, {"logprobs"}, {}),
    "top_logprobs": (2, {"num_top_logprobs", "logprobs"}, {}),
    "calibrator": ("missing.json", {"error"}, {}),
    "trace": ("full", {"trace"}, {}),
    "reuse": (False, {"reuse"}, {}),
    "max_memory": ("1MB", {"error"}, {}),
    "timeout": (1e-9, {"error"}, {}),
    "batch_size": (1, {"rows"}, {}),
    "streaming": (True, {"is_streamed"}, {}),
    "stream_usage": (False, set(), {}),
    "max_retries": (3, set(), {}),
    "api_key": (SecretStr("x"), set(), {}),
}
SAYS_NOTHING_ABOUT_THE_OUTPUT = {
    "max_memory",
    "timeout",
    "batch_size",
    "streaming",
    "stream_usage",
    "reuse",
    "max_retries",
    "api_key",
}


class Told(BaseCallbackHandler):
    """Whether tokens were told as they came."""

    is_streamed = False

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.is_streamed = True


class PlainWords:
    """Words of a grammar, for an engine without a tokenizer that knows grammars."""

    def word(self, text: str) -> str:
        return json.dumps(text)

    def free_text(self, name: str, mark: str, *, never: Sequence[str] = (), max_tokens: int | None = None) -> Any:
        return SimpleNamespace(text=f"{name}: /.*/", until=f"{name} {self.word(mark)}", without=name)


@pytest.fixture
def observed(engine: FakeEngine, clip: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function from a model to all that its calls can be seen to do."""
    rows: list[int] = []
    generate, engine.grammar_words = engine.generate, PlainWords()  # type: ignore[attr-defined]

    def counted(requests: Any, **how: Any) -> Any:
        rows.append(len(requests))
        return generate(requests, **how)

    engine.generate = counted  # type: ignore[method-assign]
    asked = [video_question(clip, "?")]

    def observe(chat_model: Any) -> dict[str, Any]:
        rows.clear()
        told = Told()
        try:
            message = chat_model.invoke(asked, {"callbacks": [told]})
            chat_model.batch([asked, asked])
        except (ModelError, ConfigError) as exc:
            return {"error": type(exc).__name__}
        request, ((model,), how) = engine.requests[-1], engine.loads[-1]
        return {
            **how,
            "model": model,
            **{name: value for name, value in vars(request.sampling).items()},
            "schedule": request.vreason.schedule,
            "tools": request.tools,
            "grammar": request.grammar,
            "reuse": request.reuse,
            "turns": len(request.turns),
            "times": message.response_metadata["frames"][0]["timestamps_seconds"],
            "logprobs": message.response_metadata.get("logprobs"),
            "trace": "trace" in message.response_metadata,
            "content": message.content,
            "num_tokens": message.usage_metadata["output_tokens"],
            "rows": max(rows),
            "is_streamed": told.is_streamed,
            "error": None,
        }

    return observe


def test_an_argument_changes_what_it_names_per_call_as_in_the_constructor(observed: Any) -> None:
    assert CHANGES.keys() == {*own_fields()}, "no field is left out"
    for field, (value, changes, beside) in CHANGES.items():
        model = ChatVReason(**beside)
        before, bound = observed(model), observed(model.bind(**{field: value}))
        assert bound == observed(ChatVReason(**beside, **{field: value})), field
        changed = {name for name in before if before[name] != bound[name]} if not bound["error"] else {"error"}
        assert changed == changes, field
        assert observed(model) == before, f"the model itself stays as it was: {field}"


def test_what_changes_the_output_identifies_the_model_and_nothing_else_does() -> None:
    for field, (value, _, beside) in CHANGES.items():
        changed, plain = ChatVReason(**beside, **{field: value}), ChatVReason(**beside)
        is_told_apart = changed._get_llm_string() != plain._get_llm_string()  # what LangChain's caches look up
        assert is_told_apart == (changed._identifying_params != plain._identifying_params), field
        assert is_told_apart is (field not in SAYS_NOTHING_ABOUT_THE_OUTPUT), field


def test_folders_and_decoder_identify_the_model_and_limits_and_isolation_do_not() -> None:
    plain = ChatVReason()._get_llm_string()
    for options in (ReadOptions([HERE]), ReadOptions(backend="av")):
        assert ChatVReason(read_options=options)._get_llm_string() != plain
    for options in (ReadOptions(limits=Limits(max_frames=8)), ReadOptions(isolation=Isolation())):
        assert ChatVReason(read_options=options)._get_llm_string() == plain


def test_a_model_survives_pickling_and_copying_with_any_argument() -> None:
    for field, (value, _, beside) in CHANGES.items():
        model = ChatVReason(**beside, **{field: value})
        for same in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), model.model_copy()):
            assert same == model, field
            assert same._identifying_params == model._identifying_params, field
            assert getattr(same, field) == getattr(model, field), field


def test_what_langchain_reads_from_the_model_is_refused_per_call(engine: FakeEngine) -> None:
    for field in BaseChatModel.model_fields.keys() - {"tags", "metadata", "callbacks"}:
        with pytest.raises(
            ConfigError, match=rf"Give it to the constructor, ChatVReason\({field}=...\), or use config"
        ):
            ChatVReason().invoke("?", **{field: None})
    assert engine.requests == []


def test_a_configured_model_streams_as_before(engine: FakeEngine) -> None:
    """LangChain builds it anew from all fields: a default of `streaming=False` then turned streaming off."""
    model = ChatVReason().configurable_fields(seed=ConfigurableField(id="seed"))
    plain, configured = [*model.stream("?")], [*model.stream("?", {"configurable": {"seed": 3}})]
    assert len(configured) == len(plain) > 5
    assert engine.requests[-1].sampling.seed == 3


def test_tokens_are_counted_by_the_callers_function_where_there_is_one(engine: FakeEngine) -> None:
    assert ChatVReason(custom_get_token_ids=lambda text: [1, 2]).get_num_tokens("a red circle") == 2


class Prefixed(ChatVReason):
    """Somebody's own chat model, with a field of its own."""

    prefix: str


def test_a_subclass_keeps_its_fields_in_a_call_and_in_a_caches_key(engine: FakeEngine) -> None:
    model = Prefixed(prefix="mine")
    assert model.for_call(None, {"seed": 1}).prefix == "mine"
    assert model.invoke("?", seed=1).content
    assert model._identifying_params != Prefixed(prefix="other")._identifying_params
