"""The setup that an answer was made with: everything its signals depend on, as a calibrator's fingerprint names it.

What was really done is described: of frames the times that were seen, whoever chose them. This module knows no
calibrator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import log2
from typing import Any

from vreason_agent.chat.frame_loader import FrameEvidence
from vreason_agent.decoding import VReasonConfig
from vreason_agent.model import GenerationRequest, SamplingParams, VideoLanguageModel

_PLAIN = VReasonConfig(schedule="off")
_UNEVEN = 0.25


def describe_setup(
    engine: VideoLanguageModel, request: GenerationRequest, evidence: Sequence[FrameEvidence], *, output_form: str
) -> dict[str, Any]:
    """Return the setup of one answer as JSON data.

    Args:
        engine: Answered.
        request: What it was asked.
        evidence: What it saw.
        output_form: `free`, `tools` or `json`.

    Returns:
        `weights` (digest), `revision`, `dtype`, `quantization`; `prompt` (digest of chat template and wording), `turns`
        (roles) and `output`; `frames` (see `frame_layout`) and `num_frames`; `decoding` and `vreason`, without what has
        no effect there.
    """
    prompt = [str(getattr(engine.tokenizer, "chat_template", "")), engine.question_prompt("?", ("a", "b"))]
    prompt += ["<think>"] if engine.starts_in_reasoning else []
    return {
        "weights": engine.weights_digest,
        "revision": engine.revision,
        "dtype": str(engine.dtype).removeprefix("torch."),
        "quantization": engine.quantization,
        "prompt": _digest(*prompt),
        "turns": [turn.role for turn in request.turns],
        "output": output_form,
        "frames": [frame_layout(seen.timestamps_seconds) for seen in evidence],
        "num_frames": sum(seen.num_frames for seen in evidence),
        **({"subtitles": True} if any(seen.subtitles is not None for seen in evidence) else {}),
        "decoding": _decoding(request.sampling),
        "vreason": _vreason(request.vreason),
    }


def frame_layout(timestamps_seconds: Sequence[float]) -> str:
    """Return how frames are spread: `pairs of N` as a ladder up to N frames spreads them, `uneven`, or `single`.

    Pairs begin at even distances, and the second frame of each follows as the next one would among N frames. Times of
    real frames are rounded to their frame rate: a quarter of the distance is tolerated, and N is a power of two.

    Args:
        timestamps_seconds: Of the frames that were seen; none for an image.
    """
    if len(timestamps_seconds) < 2:
        return "single"
    starts, ends = timestamps_seconds[::2], timestamps_seconds[1::2]
    distances = [late - early for early, late in pairwise(starts)]
    gap = sum(end - start for start, end in zip(starts, ends, strict=False)) / len(ends)
    if len(timestamps_seconds) % 2 or not distances or gap <= 0:
        return "uneven"
    mean = sum(distances) / len(distances)
    if max(abs(distance - mean) for distance in distances) > _UNEVEN * mean:
        return "uneven"
    return f"pairs of {2 ** round(log2(len(starts) * mean / gap))}"


def _decoding(sampling: SamplingParams) -> dict[str, Any]:
    if sampling.temperature == 0:
        return {"temperature": 0.0, "repetition_penalty": sampling.repetition_penalty}
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    return {name: getattr(sampling, name) for name in names}


def _vreason(config: VReasonConfig) -> dict[str, Any]:
    """Return the fields that have an effect: a seed on random signs only, steps of the optimizer on steering only."""
    plain = replace(config, record_loss_after=False, record_unsteered_entropy=False)
    if config.schedule != "random":
        plain = replace(plain, seed=_PLAIN.seed)
    if not config.is_steering:
        kept = ("lite", "lite_keep_ratio", "ema_decay", "warmup_steps", "min_final_steps")
        plain = replace(_PLAIN, **{name: getattr(config, name) for name in kept})
    return plain.to_dict()


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]
