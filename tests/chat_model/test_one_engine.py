"""Claims about what instances share: the loaded model until it is unloaded, and a rate limiter however asked."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField

from tests.chat_model.fakes import FakeEngine
from vreason_agent.chat_model import ChatVReason
from vreason_agent.model import loaded_models, registry, unload
from vreason_agent.model.loading import build_model
from vreason_agent.model.source import bundled_folder

needs_weights = pytest.mark.skipif(
    not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here"
)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Weak references to the weights of each model built, in a registry of its own."""
    found: list[Any] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        model = build_model(*args, **kwargs)
        found.append(weakref.ref(model.hf_model))
        return model

    monkeypatch.setattr(registry, "build_model", counted)
    monkeypatch.setattr(registry, "_models", {})
    monkeypatch.setattr(registry, "_added", {})
    return found


def short(**fields: Any) -> ChatVReason:
    return ChatVReason(device="cpu", max_tokens=2, **fields)


@needs_weights
def test_ten_instances_and_their_copies_load_one_model(built: list[Any]) -> None:
    models = [short(seed=seed, num_frames=2 + 2 * seed) for seed in range(10)]
    assert built == []
    models += [pickle.loads(pickle.dumps(models[0])), copy.deepcopy(models[1]), models[2].model_copy()]
    configurable: Any = short().configurable_fields(seed=ConfigurableField(id="seed"))
    for model in [*models, short().bind(seed=1), configurable.with_config(configurable={"seed": 2})]:
        model.invoke("?")
    assert len(built) == 1
    assert len(loaded_models()) == 1
    assert len({id(model.engine) for model in models}) == 1
    short(dtype="bfloat16").invoke("?")
    assert len(built) == 2, "other weights are another model"


@needs_weights
def test_calls_at_once_load_one_model(built: list[Any]) -> None:
    async def ask() -> None:
        await asyncio.gather(*(short(seed=seed).ainvoke("?") for seed in range(5)))

    asyncio.run(ask())
    assert len(built) == 1


@needs_weights
def test_an_unloaded_model_is_freed_and_the_next_call_loads_it_again(built: list[Any]) -> None:
    model = short()
    before = model.invoke("?").content
    assert unload() == 1
    gc.collect()
    assert built[0]() is None, "nothing holds the weights: not the instance, not a cache"
    assert loaded_models() == ()
    assert model.invoke("?").content == before
    assert len(built) == 2


class Counter(BaseRateLimiter):
    """Lets everything through; counts."""

    def __init__(self) -> None:
        self.num_sync, self.num_async = 0, 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.num_sync += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.num_async += 1
        return True


def test_a_rate_limiter_is_asked_once_per_call_whichever_way(engine: FakeEngine) -> None:
    limiter = Counter()
    model = ChatVReason(rate_limiter=limiter)
    model.invoke("?")
    list(model.stream("?"))
    model.bind(seed=1).invoke("?")
    model.batch(["?", "?"])
    assert (limiter.num_sync, limiter.num_async) == (5, 0)

    async def ask() -> None:
        await model.ainvoke("?")
        _ = [chunk async for chunk in model.astream("?")]
        await model.abatch(["?", "?"])

    asyncio.run(ask())
    assert (limiter.num_sync, limiter.num_async) == (5, 4)
    assert len(engine.requests) == 9


def test_a_call_waits_for_its_rate_limiter(engine: FakeEngine) -> None:
    class Closed(Counter):
        def acquire(self, *, blocking: bool = True) -> bool:
            assert blocking
            raise TimeoutError("closed")

    with pytest.raises(TimeoutError, match="closed"):
        ChatVReason(rate_limiter=Closed()).invoke("?")
    with pytest.raises(TimeoutError, match="closed"):
        next(iter(ChatVReason(rate_limiter=Closed()).stream("?")))
    assert engine.requests == []
