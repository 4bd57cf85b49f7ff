"""What the server counts, as Prometheus reads it; one registry per application. This module knows no route."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_ROWS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters and histograms of one server.

    Attributes:
        requests: Requests by path and status.
        tokens: Tokens of prompts and of answers.
        admitted: Answers that run or wait.
        rows: Answers written side by side, per round.
        first_token: Seconds to the first chunk of a stream.
        seconds: Seconds to the whole answer.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        place: Any = {"registry": self._registry, "namespace": "vreason"}
        self.requests = Counter("requests", "Requests by path and status.", ["path", "status"], **place)
        self.tokens = Counter("tokens", "Tokens of prompts and of answers.", ["kind"], **place)
        self.admitted = Gauge("admitted_answers", "Answers that run or wait.", **place)
        self.rows = Histogram("round_rows", "Answers written side by side.", buckets=_ROWS, **place)
        told = "Seconds to the first chunk of a stream."
        self.first_token = Histogram("first_token_seconds", told, buckets=_SECONDS, **place)
        self.seconds = Histogram("answer_seconds", "Seconds to the whole answer.", buckets=_SECONDS, **place)

    def count_request(self, path: str, status: int) -> None:
        """Count one answered request."""
        self.requests.labels(path, str(status)).inc()

    def observe_answer(self, began: float, usage: dict[str, Any]) -> None:
        """Note a finished answer: `began` in seconds of `time.perf_counter`, `usage` in OpenAI's shape."""
        self.seconds.observe(time.perf_counter() - began)
        self.tokens.labels("prompt").inc(usage["prompt_tokens"])
        self.tokens.labels("completion").inc(usage["completion_tokens"])

    def page(self) -> tuple[bytes, int, None, str]:
        """Return the page's content, status, headers and media type."""
        return generate_latest(self._registry), 200, None, CONTENT_TYPE_LATEST
