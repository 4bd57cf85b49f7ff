"""`ConfidenceRetryMiddleware`: an agent's model is asked again while its answer is not confident enough.

For anybody's `langchain.agents.create_agent` (extra `agents`), with any chat model whose messages carry a confidence
record. This module knows no video and no graph of this package.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.errors import GraphBubbleUp

from ..confidence import check_threshold_signal, confidence_of
from ..errors import ConfigError, DependencyError, quote
from ..question import read_answer
from .budget import is_number
from .policy import are_variations

SAMPLED: tuple[Mapping[str, Any], ...] = ({"temperature": 0.7, "seed": 1}, {"temperature": 0.7, "seed": 2})

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as exc:
    msg = "the middleware needs langchain, which cannot be loaded: pip install 'vreason-agent[agents]'"
    raise DependencyError(msg) from exc


class ConfidenceRetryMiddleware(AgentMiddleware[Any, Any, Any]):
    """Asks again with other settings while a raw signal of the answer is too low, and keeps the best answer.

    A message that calls tools is left alone, and so is one whose signal was not measured. What a further try gives
    takes the place of the first answer only where the signal is higher, or the first could not be read. The answer's
    `response_metadata["confidence_retry"]` tells what happened, with its numbers.
    """

    def __init__(
        self,
        *,
        signal: str = "answer_probability",
        min_value: float = 0.5,
        variations: Sequence[Mapping[str, Any]] = SAMPLED,
        ignored_errors: tuple[type[Exception], ...] = (Exception,),
    ) -> None:
        """Set what is enough, and what is tried while it is not.

        Args:
            signal: `answer_probability` or `entropy_drop`: the raw signals of which higher is better.
            min_value: The answer is good enough from this value on. Higher asks again more often.
            variations: What differs in each further try, in turn: the chat model's keyword arguments, and `prompt`, a
                text that is put after the conversation for that try alone.
            ignored_errors: What a further try may raise without ending the run, as where a provider refuses `seed`: the
                answer that is there is kept. The first call is never caught, and neither is an interrupt.

        Raises:
            ConfigError: If there is no variation or an empty one, no such signal, or `min_value` is no number.
        """
        super().__init__()
        if not are_variations(variations, has_frames=False) or not variations or not is_number(min_value):
            given = f"variations={quote(variations)}, min_value={quote(min_value)}"
            msg = f"{given}: give at least one variation, e.g. ({{'seed': 1}},), and a number"
            raise ConfigError(msg)
        self.signal, self.min_value = check_threshold_signal(signal), float(min_value)
        self.variations = tuple(variations)
        self.ignored_errors = ignored_errors

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Call the model, and again as long as the answer's signal is too low and a variation is left."""
        tries = [self._read(handler(request))]
        while (again := self._again(request, tries)) is not None:
            with self._catching(tries):
                tries.append(self._read(handler(again)))
        return self._best(tries)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Call the model without blocking the event loop, as `wrap_model_call` does."""
        tries = [self._read(await handler(request))]
        while (again := self._again(request, tries)) is not None:
            with self._catching(tries):
                tries.append(self._read(await handler(again)))
        return self._best(tries)

    @contextmanager
    def _catching(self, tries: list[_Try]) -> Iterator[None]:
        """Count what is raised in a further try as a try without an answer."""
        try:
            yield
        except GraphBubbleUp:
            raise
        except self.ignored_errors as exc:
            tries.append(replace(tries[0], message=None, value=None, is_usable=False, error=type(exc).__name__))

    def _again(self, request: ModelRequest[Any], tries: Sequence[_Try]) -> ModelRequest[Any] | None:
        """Return the next request; `None` if the first answer is left alone, one is enough, or all was tried."""
        is_over = self._is_enough(tries[-1]) or len(tries) > len(self.variations)
        if tries[0].value is None or is_over:
            return None
        settings = dict(self.variations[len(tries) - 1])
        prompt = settings.pop("prompt", None)
        messages = request.messages if prompt is None else [*request.messages, HumanMessage(prompt)]
        return request.override(messages=messages, model_settings={**request.model_settings, **settings})

    def _is_enough(self, one: _Try) -> bool:
        return one.is_usable and one.value is not None and one.value >= self.min_value

    def _best(self, tries: Sequence[_Try]) -> ModelResponse[Any]:
        best = max(tries, key=lambda one: one.rank)
        if best.message is not None and tries[0].value is not None:
            best.message.response_metadata["confidence_retry"] = self._record(tries, best)
        return best.response

    def _record(self, tries: Sequence[_Try], best: _Try) -> dict[str, Any]:
        chosen, is_enough = tries.index(best), self._is_enough(best)
        reason = f"{self._describe(best, is_enough=is_enough)} at try {chosen + 1} of {len(tries)}"
        values, errors = [one.value for one in tries], [one.error for one in tries]
        numbers = {"signal": self.signal, "min_value": self.min_value, "values": values, "errors": errors}
        return {**numbers, "chosen": chosen, "is_enough": is_enough, "reason": reason}

    def _describe(self, best: _Try, *, is_enough: bool) -> str:
        if not best.is_usable:
            return "no answer could be read"
        if best.value is None:
            return f"{self.signal} was not measured"
        return f"{self.signal} {best.value:.3f} {'>=' if is_enough else '<'} {self.min_value:g}"

    def _read(self, response: ModelResponse[Any]) -> _Try:
        found = (message for message in reversed(response.result) if isinstance(message, AIMessage))
        message = next(found, None)
        if message is None or message.tool_calls:
            return _Try(response, message, None, is_usable=message is not None)
        is_usable = read_answer(message)["text"] is not None
        return _Try(response, message, confidence_of(message).signal(self.signal), is_usable=is_usable)


@dataclass(frozen=True, eq=False)
class _Try:
    """One call: its message, and the signal of its answer, `None` where it was not measured or tools are called.

    `error` names the class of what was raised in the place of a response.
    """

    response: ModelResponse[Any]
    message: AIMessage | None
    value: float | None
    is_usable: bool
    error: str | None = None

    @property
    def rank(self) -> tuple[bool, bool, bool, float]:
        """What the best is chosen by: it came at all, can be read, was measured, has the highest signal."""
        return self.error is None, self.is_usable, self.value is not None, self.value or 0.0
