"""A transformers streamer gets from V-Reason's loop what it gets from `generate` itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, PreTrainedModel, TextIteratorStreamer
from transformers.generation.streamers import BaseStreamer

from tests.decoding.test_plain import generate, make_uneven_batch
from tests.decoding.tiny_models import make_prompt
from vreason_agent.decoding import VReasonConfig, vreason_generate
from vreason_agent.model import load_model

OFF = VReasonConfig(schedule="off")


class Recorder(BaseStreamer):
    """Keeps what it is given; `None` is the end."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def put(self, value: torch.Tensor) -> None:
        self.calls.append(value.tolist())

    def end(self) -> None:
        self.calls.append(None)


def through_a_function(*args: Any, vreason: VReasonConfig, **kwargs: Any) -> Any:
    return vreason_generate(*args, vreason=vreason, **kwargs)


@pytest.mark.parametrize("make", [make_prompt, make_uneven_batch], ids=["one row", "batch"])
@pytest.mark.parametrize(
    "loop",
    [vreason_generate, partial(vreason_generate), through_a_function],
    ids=["loop", "partial", "function"],
)
def test_a_streamer_gets_prompt_tokens_and_end_as_from_generate(
    sharp_model: PreTrainedModel, greedy: GenerationConfig, make: Any, loop: Callable[..., Any]
) -> None:
    prompt = make(sharp_model)
    greedy.eos_token_id = generate(sharp_model, prompt, greedy)[0][5]
    expected, got = Recorder(), Recorder()
    generate(sharp_model, prompt, greedy, streamer=expected)
    generate(sharp_model, prompt, greedy, custom_generate=loop, vreason=OFF, streamer=got)
    assert got.calls == expected.calls
    assert got.calls[0] == prompt.inputs["input_ids"].tolist()
    assert got.calls[-1] is None


def test_an_iterator_of_text_gets_the_answer_and_ends() -> None:
    model = load_model("tiny", device="cpu")
    hf_model: Any = model.hf_model
    streamer = TextIteratorStreamer(model.tokenizer, skip_prompt=True, timeout=60.0)
    ids = torch.tensor([model.tokenizer.encode("A red circle")])
    kwargs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_new_tokens": 12, "do_sample": False}
    output: list[torch.Tensor] = []
    thread = threading.Thread(
        target=lambda: output.append(hf_model.generate(**kwargs, custom_generate=vreason_generate, streamer=streamer))
    )
    thread.start()
    text = "".join(streamer)
    thread.join()
    assert text == model.tokenizer.decode(output[0][0, ids.shape[1] :])
    assert text
