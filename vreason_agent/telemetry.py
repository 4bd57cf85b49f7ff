"""OpenTelemetry spans of looks, decoding and updates, where the extra `otel` is installed and your program traces.

Names and attributes follow the semantic conventions for generative AI where these have some; our own begin with
`vreason.`. Without opentelemetry, or without a tracer provider, nothing is recorded. This module knows no model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

NAME = "vreason_agent"
PHASES = ("preprocess", "vision", "prefill", "decode")


@contextmanager
def look_span(attempt: int, num_frames: int) -> Iterator[None]:
    """Span one look of a graph at a video; what the chat model does in it lies within."""
    tracer = _tracer()
    if tracer is None:
        yield
        return
    attributes = {"vreason.attempt": attempt, "vreason.num_frames": num_frames}
    with tracer.start_as_current_span("vreason.look", attributes=attributes):
        yield


@contextmanager
def chat_span(model: str, requests: Sequence[Any]) -> Iterator[Callable[[Sequence[Any]], None]]:
    """Span one call of a model.

    Args:
        model: its name.
        requests: `GenerationRequest`s that share their sampling rules.

    Yields:
        What is to be told the `Generation`s.
    """
    tracer = _tracer()
    if tracer is None:
        yield lambda generations: None
        return
    began = time.time_ns()
    sampling = requests[0].sampling
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": NAME,
        "gen_ai.request.model": model,
        "gen_ai.request.temperature": float(sampling.temperature),
        "gen_ai.request.max_tokens": sampling.max_new_tokens,
        "gen_ai.request.seed": sampling.seed,
        "vreason.schedule": requests[0].vreason.schedule,
        "vreason.batch_size": len(requests),
    }
    with tracer.start_as_current_span(f"chat {model}", attributes=_known(attributes)) as span:

        def tell(generations: Sequence[Any]) -> None:
            span.set_attributes(_totals(generations))
            _add_phases(tracer, began, generations[0])

        yield tell


def _totals(generations: Sequence[Any]) -> dict[str, Any]:
    return {
        "gen_ai.response.finish_reasons": [one.finish_reason for one in generations],
        "gen_ai.usage.input_tokens": sum(one.prompt_tokens for one in generations),
        "gen_ai.usage.output_tokens": sum(len(one.token_ids) for one in generations),
        "gen_ai.usage.cache_read.input_tokens": sum(one.reuse.cached_tokens for one in generations),
    }


def _add_phases(tracer: Any, began: int, generation: Any) -> None:
    """Add a span per phase, one after the other from the beginning; times are those of the whole batch."""
    at = began
    for phase in PHASES:
        length = generation.seconds.get(phase)
        if length is None:
            continue
        updates = {"vreason.num_updates": generation.trace.num_updates}
        updates["vreason.update_seconds"] = generation.seconds.get("updates", 0.0)
        attributes = updates if phase == "decode" else {}
        span = tracer.start_span(f"vreason.{phase}", start_time=at, attributes=attributes)
        at += int(length * 1e9)
        span.end(end_time=at)


def _tracer() -> Any | None:
    if not _is_installed():
        return None
    from opentelemetry import trace

    return trace.get_tracer(NAME)


@lru_cache
def _is_installed() -> bool:
    return find_spec("opentelemetry") is not None and find_spec("opentelemetry.trace") is not None


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
