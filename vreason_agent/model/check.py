"""What must hold before a model is trusted under V-Reason, tried on the user's own weights.

The checks are those of the method that need no second implementation: without steering the loop equals transformers'
`generate`; the part behind the steering point gives the step's own logits when run again; a small update moves entropy
in its direction; weights and cached base values are untouched; positions are the library's. They run on a made-up clip
and take seconds on a small model, two minutes on one of 3 billion parameters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from vreason_agent.decoding import DecodeResult, VReasonConfig, decode
from vreason_agent.errors import VReasonError
from vreason_agent.model.engine import VideoLanguageModel, generation_config
from vreason_agent.model.parts import SamplingParams, TextPart, Turn, VideoPart
from vreason_agent.model.vision import preprocess_prompt, vision_inputs

__all__ = ["CheckResult", "check_model"]

NUM_TOKENS = 16
SIDE_PX, NUM_FRAMES = 224, 8
STEERED: Mapping[str, Any] = {"warmup_steps": 2, "update_interval": 2}


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        name: what must hold.
        passed: whether it did.
        detail: what was found, with its numbers.
    """

    name: str
    passed: bool
    detail: str


def check_model(model: VideoLanguageModel) -> Iterator[CheckResult]:
    """Run the checks one after the other.

    Args:
        model: a loaded model; it is left as it was.

    Yields:
        One result per check. A model that cannot be steered passes or fails the two that need no steering, and the
        last result says why.
    """
    trial = _Trial(model)
    checks: list[tuple[str, Callable[[], tuple[bool, str]]]] = [
        ("without steering, tokens equal those of generate", trial.equals_generate),
        ("positions equal the library's", trial.has_library_positions),
        ("the last part, run again, gives the step's own logits", trial.replays),
        ("a small update moves entropy in its direction", trial.moves_entropy),
        ("weights and base values are untouched", trial.leaves_no_trace),
    ]
    with model.lock:
        for name, check in checks:
            try:
                passed, detail = check()
            except VReasonError as error:
                yield CheckResult(name, passed=False, detail=str(error))
                return
            yield CheckResult(name, passed, detail)


class _Forced(LogitsProcessor):
    """Makes the loop write given tokens."""

    def __init__(self, start: int, tokens: list[int]) -> None:
        self._start, self._tokens = start, tokens

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        token = self._tokens[input_ids.shape[1] - self._start]
        forced = torch.full_like(scores, float("-inf"))
        forced[:, token] = 0.0
        return forced  # type: ignore[return-value]


class _Trial:
    """A prompt about a made-up clip, and the runs that the checks compare."""

    def __init__(self, model: VideoLanguageModel) -> None:
        self._model = model
        noise = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 14, 14, 3), np.uint8)
        frames = noise.repeat(SIDE_PX // 14, axis=1).repeat(SIDE_PX // 14, axis=2)
        # Half a second apart: a second from pair to pair, which transformers assumes for Qwen2.5-VL.
        video = VideoPart(frames, tuple(0.5 * k for k in range(NUM_FRAMES)))
        self._prompt = model.encoder.encode((Turn("user", (video, TextPart("What happens, and when?"))),))
        self._pixels = preprocess_prompt(self._prompt, model.encoder)
        self._rules = generation_config(SamplingParams(max_new_tokens=NUM_TOKENS), (), model.pad_token_id)

    @property
    def _is_exact(self) -> bool:
        """Whether entropies carry six digits or more."""
        return self._model.dtype == torch.float32 and self._model.quantization is None

    def equals_generate(self) -> tuple[bool, str]:
        ours = self._run(VReasonConfig(schedule="off")).sequences[0]
        theirs = self._generate()
        same = next((k for k, (one, other) in enumerate(zip(ours, theirs, strict=False)) if one != other), len(ours))
        return ours == theirs, f"{same} of {NUM_TOKENS} tokens equal"

    def has_library_positions(self) -> tuple[bool, str]:
        if self._model.family.rope_axes == 1:
            return True, "the model counts tokens"
        theirs, _ = self._model.hf_model.model.get_rope_index(
            self._prompt.input_ids[None].to(self._model.device), **self._library_arguments()
        )
        ours = self._prompt.position_ids[:, None].to(theirs.device)
        return torch.equal(ours, theirs), f"{int((ours == theirs).all(0).sum())} of {self._prompt.num_tokens} equal"

    def replays(self) -> tuple[bool, str]:
        config = VReasonConfig(learning_rate=0.0, record_loss_after=True, **STEERED)
        largest = max((abs(after - before) for before, after in self._losses(config)), default=float("inf"))
        allowed = 1e-3 if self._is_exact else 5e-2
        return largest <= allowed, f"entropies differ by {largest:.1e} nats at most"

    def moves_entropy(self) -> tuple[bool, str]:
        config = VReasonConfig(schedule="alternating", learning_rate=0.02, record_loss_after=True, **STEERED)
        changes = [after - before for before, after in self._losses(config)]
        right = sum(change <= 0 for change in changes)
        passed = bool(changes) and (right == len(changes) if self._is_exact else right > len(changes) / 2)
        return passed and sum(changes) < 0, f"{right} of {len(changes)} updates, {-sum(changes):.1e} nats together"

    def leaves_no_trace(self) -> tuple[bool, str]:
        before = self._checksums()
        steered = self._run(VReasonConfig(schedule="maximize", learning_rate=0.5, **STEERED))
        forcing = LogitsProcessorList([_Forced(self._prompt.num_tokens, steered.sequences[0])])
        plain = self._run(VReasonConfig(schedule="off"), forcing)
        pairs = list(zip(_tensors(steered.cache), _tensors(plain.cache), strict=True))
        same = sum(torch.equal(*pair) for pair in pairs)
        is_clean = self._checksums() == before and not any(p.grad is not None for p in self._parameters())
        weights = "weights unchanged" if is_clean else "weights changed"
        return is_clean and same == len(pairs), f"{weights}, {same} of {len(pairs)} cached tensors equal"

    def _run(self, config: VReasonConfig, processors: LogitsProcessorList | None = None) -> DecodeResult:
        model, prompt = self._model, self._prompt
        prefill = vision_inputs(model.family, model.hf_model, [self._pixels], model.device)
        if model.family.needs_token_types:
            prefill["mm_token_type_ids"] = prompt.token_types[None].to(model.device)
        positions = prompt.position_ids
        return decode(
            model.hf_model,
            input_ids=prompt.input_ids[None].to(model.device),
            video_mask=prompt.video_mask[None].to(model.device),
            position_ids=positions[None] if positions.ndim == 1 else positions[:, None],
            prefill_inputs=prefill,
            config=config,
            generation_config=self._rules,
            logits_processor=processors,
            find_point=model.family.steering_point,
        )

    def _losses(self, config: VReasonConfig) -> list[tuple[float, float]]:
        trace = self._run(config).traces[0]
        pairs = zip(trace.loss, trace.loss_after or (), strict=False)
        return [(before, after) for before, after in pairs if before is not None and after is not None]

    def _generate(self) -> list[int]:
        model, ids = self._model, self._prompt.input_ids[None].to(self._model.device)
        inputs = vision_inputs(model.family, model.hf_model, [self._pixels], model.device)
        arguments = {"attention_mask": torch.ones_like(ids), **inputs, **self._library_arguments()}
        output = model.hf_model.generate(input_ids=ids, generation_config=self._rules, **arguments)
        return list(map(int, output[0, self._prompt.num_tokens :]))

    def _library_arguments(self) -> dict[str, Any]:
        """What transformers computes positions and masks from, where the model takes it."""
        known = {
            "mm_token_type_ids": self._prompt.token_types[None],
            **{name: tensor for one in self._pixels.values() for name, tensor in one.items() if "grid_thw" in name},
        }
        takes = inspect.signature(self._model.hf_model.forward).parameters
        return {name: tensor.to(self._model.device) for name, tensor in known.items() if name in takes}

    def _parameters(self) -> list[torch.nn.Parameter]:
        return list(self._model.hf_model.parameters())

    def _checksums(self) -> list[int]:
        """A sum over the bits of every weight."""
        kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
        return [int(weight.detach().view(kinds[weight.element_size()]).sum()) for weight in self._parameters()]


def _tensors(cache: Any) -> list[torch.Tensor]:
    """Keys, values and recurrent states of all layers."""
    values = [value for layer in cache.layers for value in vars(layer).values()]
    flat = [item for value in values for item in (value.values() if isinstance(value, dict) else [value])]
    return [item for item in flat if isinstance(item, torch.Tensor)]
