"""`ConfidenceRetryMiddleware`: an agent's model is asked again while its answer is not confident enough.

For anybody's `langchain.agents.create_agent` (extra `agents`), with any chat model whose messages carry a confidence
record. This module knows no video and no graph of this package.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage

from ..confidence import confidence_of
from ..errors import ConfigError, DependencyError
from .policy import VARIATIONS

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
except ImportError as exc:
    msg = "the middleware needs langchain, which cannot be loaded: pip install 'vreason-agent[agents]'"
    raise DependencyError(msg) from exc


class ConfidenceRetryMiddleware(AgentMiddleware[Any, Any, Any]):
    """Asks again with other settings while a raw signal of the answer is too low, and keeps the best answer.

    A message that calls tools is left alone, and so is one whose signal was not measured. The answer's
    `response_metadata["confidence_retry"]` tells what happened, with its numbers.
    """

    def __init__(
        self,
        *,
        signal: str = "answer_probability",
        min_value: float = 0.5,
        variations: Sequence[Mapping[str, Any]] = VARIATIONS,
    ) -> None:
        """Set what is enough, and what is tried while it is not.

        Args:
            signal: Raw signal by name, one of which higher means more settled, such as `entropy_drop`.
            min_value: The answer is good enough from this value on. Higher asks again more often.
            variations: The chat model's keyword arguments for each further try, in turn.

        Raises:
            ConfigError: If there is no variation, or `min_value` is no number.
        """
        super().__init__()
        if not variations or min_value != min_value:
            given = f"variations={variations!r}, min_value={min_value!r}"
            msg = f"{given}: give at least one variation, e.g. ({{'seed': 1}},), and a number"
            raise ConfigError(msg)
        self.signal, self.min_value, self.variations = signal, min_value, tuple(variations)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Call the model, and again as long as the answer's signal is too low and a variation is left."""
        responses = [handler(request)]
        while (again := self._again(request, responses)) is not None:
            responses.append(handler(again))
        return self._best(responses)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """Call the model without blocking the event loop, as `wrap_model_call` does."""
        responses = [await handler(request)]
        while (again := self._again(request, responses)) is not None:
            responses.append(await handler(again))
        return self._best(responses)

    def _again(self, request: ModelRequest[Any], responses: Sequence[ModelResponse[Any]]) -> ModelRequest[Any] | None:
        value = self._value(responses[-1])
        if value is None or value >= self.min_value or len(responses) > len(self.variations):
            return None
        variation = self.variations[len(responses) - 1]
        return request.override(model_settings={**request.model_settings, **variation})

    def _best(self, responses: Sequence[ModelResponse[Any]]) -> ModelResponse[Any]:
        values = [self._value(response) for response in responses]
        last = len(responses) - 1
        chosen = last if values[last] is None else max(range(len(values)), key=lambda i: _rank(values[i]))
        message = _message(responses[chosen])
        if message is not None and values[chosen] is not None:
            message.response_metadata["confidence_retry"] = self._record(values, chosen)
        return responses[chosen]

    def _record(self, values: Sequence[float | None], chosen: int) -> dict[str, Any]:
        value = values[chosen] or 0.0
        is_enough = value >= self.min_value
        relation = ">=" if is_enough else "<"
        reason = f"{self.signal} {value:.3f} {relation} {self.min_value:g} at try {chosen + 1} of {len(values)}"
        numbers = {"signal": self.signal, "min_value": self.min_value, "values": list(values)}
        return {**numbers, "chosen": chosen, "is_enough": is_enough, "reason": reason}

    def _value(self, response: ModelResponse[Any]) -> float | None:
        """Return the signal of an answer; `None` where it was not measured or tools are called."""
        message = _message(response)
        if message is None or message.tool_calls:
            return None
        return confidence_of(message).signal(self.signal)


def _message(response: ModelResponse[Any]) -> AIMessage | None:
    return next((message for message in reversed(response.result) if isinstance(message, AIMessage)), None)


def _rank(value: float | None) -> float:
    return float("-inf") if value is None else value
