"""An engine that plays a text, token by token, through the same interface as a loaded model."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

from vreason_agent.answers import parse_answer
from vreason_agent.decoding import DecodingTrace, StepRecord
from vreason_agent.decoding.phase import Phase
from vreason_agent.errors import GenerationError
from vreason_agent.model import Generation, GenerationRequest, StreamEvent, Turn, VideoPart
from vreason_agent.model.prompts import plain_prompt

SETTLED = "<think>At 0.0 s a red circle.</think><answer>red</answer>"


def join_generations() -> None:
    """Wait until every generation that runs in a thread of its own has ended."""
    for thread in threading.enumerate():
        if thread.name == "vreason-generate":
            thread.join(10)


class FakeTokenizer:
    """Tokens are words, spaces and marks; ids are positions in a growing list."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, text: str, **_: Any) -> list[int]:
        pieces = re.findall(r"\w+|\s|[^\w\s]", text)
        self.texts += [piece for piece in pieces if piece not in self.texts]
        return [self.texts.index(piece) for piece in pieces]

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return "".join(self.texts[int(token)] for token in ids)


class FakeEngine:
    """Answers every request with `text`; keeps the requests.

    Its entropies fall from 2 nats to 0.1 over the text. With `hold`, it waits at each token until released.
    """

    def __init__(self, text: str = SETTLED, *, name: str = "fake", prompt_end: str = "assistant\n") -> None:
        self.text, self.name, self.prompt_end = text, name, prompt_end
        self.tokenizer = FakeTokenizer()
        self.question_prompt, self.answer_parser = plain_prompt, parse_answer
        self.context_length = 1000
        self.requests: list[GenerationRequest] = []
        self.num_made = 0
        self.loads: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.gate: threading.Semaphore | None = None

    def generate(self, requests: Sequence[GenerationRequest], *, on_token: Any = None) -> list[Generation]:
        self.requests += requests
        if self.count_tokens(requests[0].turns) >= self.context_length:
            msg = f"the prompt has too many tokens for a context of {self.context_length}; use fewer frames"
            raise GenerationError(msg)
        return [self._one(request, on_token) for request in requests]

    def frame_resize(self, num_frames: int, height: int, width: int) -> None:
        return None

    def count_tokens(self, turns: Sequence[Turn], tools: Sequence[Any] = ()) -> int:
        parts = [part for turn in turns for part in turn.parts]
        return sum(10 * len(part.images) if isinstance(part, VideoPart) else 5 for part in parts)

    weights_digest = "0" * 12

    @property
    def starts_in_reasoning(self) -> bool:
        return self.prompt_end.rstrip().endswith("<think>")

    def _one(self, request: GenerationRequest, on_token: Any) -> Generation:
        ids = self.tokenizer.encode(self.text)[: request.sampling.max_new_tokens]
        kept, finish = [], "stop" if len(ids) == len(self.tokenizer.encode(self.text)) else "length"
        for step, token in enumerate(ids):
            if self.gate:
                self.gate.acquire()
            kept.append(token)
            self.num_made += 1
            event = StreamEvent(0, self.tokenizer.texts[token], StepRecord(0, step, token, -0.1, 1.0))
            if on_token and on_token(event):
                finish = "cancelled"
                break
        return self._generation(request, kept, finish)

    def _generation(self, request: GenerationRequest, ids: list[int], finish: Any) -> Generation:
        entropy = tuple(2.0 - 1.9 * step / max(1, len(ids) - 1) for step in range(len(ids)))
        trace = DecodingTrace(
            config=request.vreason,
            token_ids=tuple(ids),
            logprobs=(-0.1,) * len(ids),
            entropy=entropy,
            entropy_ema=entropy,
            phase=(Phase.EXPLORATION,) * len(ids),
            switch=(None,) * len(ids),
            loss=(None,) * len(ids),
            controller_norm=(None,) * len(ids),
            forced=(False,) * len(ids),
            steered=request.vreason.is_steering,
        )
        videos = [part for turn in request.turns for part in turn.parts if isinstance(part, VideoPart)]
        num_top = request.sampling.num_top_logprobs
        return Generation(
            text=self.tokenizer.decode(ids),
            token_ids=tuple(ids),
            token_texts=tuple(self.tokenizer.texts[token] for token in ids),
            trace=trace,
            finish_reason=finish,
            prompt_tokens=self.count_tokens(request.turns),
            video_tokens=sum(10 * len(video.images) for video in videos),
            top_logprobs=tuple(((token, -0.1),) * num_top for token in ids) if num_top else (),
        )
