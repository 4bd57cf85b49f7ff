"""`--model vreason_agent` in lmms-eval: its tasks asked of `ChatVReason`, with V-Reason decoding and signals.

lmms-eval (0.7) finds this module by the entry point `lmms_eval.models`. It has no field for a confidence, so that the
record of every answer goes to a file beside its results. This module is imported by lmms-eval only.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from lmms_eval.api.instance import GenerationResult, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest

from vreason_agent.chat_model import ChatVReason
from vreason_agent.errors import ConfigError, VReasonError

_CLASSES: dict[str, type[BaseMessage]] = {"user": HumanMessage, "system": SystemMessage, "assistant": AIMessage}


def manifest() -> ModelManifest:
    """Return what lmms-eval registers: the entry point's payload."""
    return ModelManifest("vreason_agent", chat_class_path=f"{__name__}.{VReasonLmms.__name__}")


class VReasonLmms(lmms):
    """A chat model as lmms-eval drives it.

    Its `--model_args`: `pretrained` (folder, hub id or `tiny`), `num_frames` per video, `schedule`, `device`, `dtype`,
    `batch_size`, `seed`, `max_new_tokens` (in place of the task's, which may leave no room for reasoning) and
    `side_file` (JSON lines: task, document, confidence record; default: none).
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str = "tiny",
        num_frames: int | str = 8,
        schedule: str = "switching",
        batch_size: int | str = 1,
        device: str | None = None,
        dtype: str | None = None,
        seed: int | str | None = None,
        max_new_tokens: int | str | None = None,
        side_file: str | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        if unknown:
            msg = f"model_args {', '.join(unknown)} are not known; use pretrained, num_frames, schedule, batch_size, "
            raise ConfigError(f"{msg}device, dtype, seed, max_new_tokens, side_file")
        given: dict[str, Any] = {"device": device, "dtype": dtype, "seed": None if seed is None else int(seed)}
        self.chat_model = ChatVReason(
            model=pretrained,
            num_frames=int(num_frames),
            vreason=schedule,
            batch_size=int(batch_size),
            **{name: value for name, value in given.items() if value is not None},
        )
        self.batch_size = int(batch_size)
        self.limits = {} if max_new_tokens is None else {"max_tokens": int(max_new_tokens)}
        self.side_file = None if side_file is None else Path(side_file)

    def generate_until(self, requests: Sequence[Any]) -> list[GenerationResult]:
        """Answer requests in batches of equal generation arguments; a question that fails is answered with nothing."""
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[2], sort_keys=True, default=str), []).append(index)
        results: dict[int, GenerationResult] = {}
        for indices in groups.values():
            for start in range(0, len(indices), self.batch_size):
                batch = indices[start : start + self.batch_size]
                for index, reply in zip(batch, self._ask([requests[at].args for at in batch]), strict=True):
                    arguments = requests[index].args
                    results[index] = _result(reply, arguments[2].get("until"))
                    self._note(arguments, reply)
        return [results[index] for index in range(len(requests))]

    def _ask(self, batch: Sequence[tuple[Any, ...]]) -> list[AIMessage | Exception]:
        messages: list[Any] = []
        for _, to_messages, _, doc_id, task, split in batch:
            messages.append(list(read_messages(to_messages(self.task_dict[task][split][doc_id]))))
        options = call_options(batch[0][2]) | self.limits
        replies: Any = self.chat_model.batch(messages, return_exceptions=True, **options)
        for reply in replies:
            if isinstance(reply, Exception) and not isinstance(reply, VReasonError):
                raise reply
        return list(replies)

    def _note(self, arguments: tuple[Any, ...], reply: AIMessage | Exception) -> None:
        if self.side_file is None:
            return
        known = {} if isinstance(reply, Exception) else reply.response_metadata
        row = {
            "task": arguments[4],
            "split": arguments[5],
            "doc_id": arguments[3],
            "confidence": known.get("confidence"),
        }
        row["error"] = f"{type(reply).__name__}: {reply}" if isinstance(reply, Exception) else None
        with self.side_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, default=str) + "\n")

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Not offered: tasks that generate are.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("vreason_agent generates answers; choose a task of output_type generate_until")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not offered.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("vreason_agent answers in one round; choose a task of output_type generate_until")


def read_messages(messages: Sequence[Mapping[str, Any]]) -> Iterator[BaseMessage]:
    """Yield lmms-eval's messages as LangChain's: texts, images in memory or as files, videos with their part."""
    for message in messages:
        content = message["content"]
        given = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks: list[str | dict[Any, Any]] = [_block(one) for one in given]
        yield _CLASSES[message["role"]](content=blocks)


def _block(content: Mapping[str, Any]) -> dict[str, Any]:
    kind = content["type"]
    if kind == "text":
        return {"type": "text", "text": content["text"]}
    if kind == "video":
        part = {"start_seconds": content.get("start_time"), "stop_seconds": content.get("end_time")}
        extras = {name: float(value) for name, value in part.items() if value is not None}
        return {"type": "video", "url": str(content["url"]), **({"extras": extras} if extras else {})}
    if kind == "image" and hasattr(content["url"], "save"):  # a PIL image
        buffer = io.BytesIO()
        content["url"].convert("RGB").save(buffer, format="PNG")
        return {"type": "image", "base64": base64.b64encode(buffer.getvalue()).decode(), "mime_type": "image/png"}
    if kind == "image":
        return {"type": "image", "url": str(content["url"])}
    msg = f"a task gives {kind!r}, which the model cannot take; choose a task of text, images and videos"
    raise ConfigError(msg)


def call_options(generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return lmms-eval's generation arguments as those of a call; without sampling the temperature is 0."""
    is_sampled = generation.get("do_sample", True) and (generation.get("temperature") or 0) > 0
    options: dict[str, Any] = {"temperature": float(generation["temperature"]) if is_sampled else 0.0}
    if generation.get("max_new_tokens"):
        options["max_tokens"] = int(generation["max_new_tokens"])
    if is_sampled and generation.get("top_p"):
        options["top_p"] = float(generation["top_p"])
    return options


def answer_text(text: str, until: str | Sequence[str] | None) -> str:
    """Return the answer up to the first of a task's stop texts; what stands in the reasoning never ends it."""
    stops = [until] if isinstance(until, str) else list(until or ())
    return text[: min((at for stop in stops if (at := text.find(stop)) > 0), default=len(text))]


def _result(reply: AIMessage | Exception, until: str | Sequence[str] | None) -> GenerationResult:
    if isinstance(reply, Exception):
        return GenerationResult(text="", token_counts=TokenCounts())
    usage: Mapping[str, Any] = reply.usage_metadata or {}
    counts = TokenCounts(
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        reasoning_tokens=(usage.get("output_token_details") or {}).get("reasoning"),
    )
    return GenerationResult(text=answer_text(str(reply.text), until), token_counts=counts)
