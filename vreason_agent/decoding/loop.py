"""The decode loop: one token per step for a batch, steered or not, and its result with a trace per row.

Both doors, `decode` and `vreason_generate`, end in `DecodeLoop.run`. This module knows transformers' interfaces but no
model class: of the model only `hf_model(**inputs)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel

from vreason_agent.decoding.compat import cache_argument, seconds_now
from vreason_agent.decoding.config import VReasonConfig
from vreason_agent.decoding.entropy import Distribution, distribution, self_certainty
from vreason_agent.decoding.last_layer import FindPoint, check_state, find_steering_point
from vreason_agent.decoding.lean import lean_decoder
from vreason_agent.decoding.lean_steering import LeanSteering
from vreason_agent.decoding.lite import drop_video_tokens
from vreason_agent.decoding.phase import PhaseState, PhaseTracker, Switch, SwitchSchedule
from vreason_agent.decoding.prompt import NextPositions, Prompt
from vreason_agent.decoding.rules import FinishReason, LoopRules
from vreason_agent.decoding.sampling import ProcessedScores
from vreason_agent.decoding.steering import Unsteered, steer
from vreason_agent.decoding.trace import DecodingSeconds, DecodingTrace, StepRecord, TopLogprobs
from vreason_agent.errors import GenerationError


@dataclass
class DecodeResult:
    """What a batch generated.

    Attributes:
        sequences: Per row, the new token ids without padding, end token included.
        finish_reasons: Per row, `stop` (end token, stop string, a caller's criterion), `length` (token or time limit)
            or `cancelled` (`on_token` returned True).
        traces: Per row.
        top_logprobs: Per row and token, the most likely tokens and their raw log-probabilities; empty unless asked for.
        input_ids: `(batch, length)`, prompt and generated tokens, finished rows padded.
        cache: The key-value cache with base values only, of the prompt and all generated tokens but the last; what it
            holds behind a row's end has no meaning. Under Lite it lacks the video tokens that were dropped and cannot
            be the prefix of another prompt.
        scores: Per step, processed scores `(batch, vocab_size)`, of rows that are running; `None` unless asked for.
        logits: Per step, raw logits `(batch, vocab_size)`, of rows that are running; `None` unless asked for.
    """

    sequences: list[list[int]]
    finish_reasons: list[FinishReason]
    traces: list[DecodingTrace]
    top_logprobs: list[list[TopLogprobs]]
    input_ids: torch.Tensor
    cache: DynamicCache
    scores: tuple[torch.Tensor, ...] | None = None
    logits: tuple[torch.Tensor, ...] | None = None


@dataclass
class Update:
    """What one update did to one row: its sign, and the loss (sign times entropy, nats) before and after it."""

    switch: Switch
    loss: float
    loss_after: float | None = None


@dataclass
class Row:
    """One sequence being generated.

    Attributes:
        config: The configuration of the generation.
        records: One per token.
        finish_reason: `None` while it runs.
    """

    config: VReasonConfig
    records: list[StepRecord] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    def __post_init__(self) -> None:
        self._tracker = PhaseTracker(self.config)
        self._schedule = SwitchSchedule(self.config)

    @property
    def is_running(self) -> bool:
        """Whether it takes further tokens."""
        return self.finish_reason is None

    @property
    def is_warm(self) -> bool:
        """Whether the warm-up is over, so that updates may begin."""
        return self._tracker.is_warm

    def choose_switch(self, step: int, entropy: float) -> Switch:
        """Return the sign of an update at `step`, given the entropy (nats) before it."""
        return self._schedule.choose(entropy, self._tracker.preview(step, entropy))

    def observe(self, step: int, entropy: float, *, forced: bool) -> PhaseState:
        """Take in the entropy (nats) of the token of `step` and return the state; a forced token changes nothing."""
        return self._tracker.state if forced else self._tracker.observe(step, entropy)


def check_finite(entropies: list[float], step: int) -> None:
    """Refuse logits that are not finite.

    Raises:
        GenerationError: an entropy is NaN or infinite.
    """
    if not all(math.isfinite(entropy) for entropy in entropies):
        raise GenerationError(
            f"the entropies at step {step} are {entropies}: the model's logits are not finite; load it in another "
            "dtype (dtype='float32' or 'bfloat16') or lower VReasonConfig.learning_rate"
        )


@dataclass
class _Step:
    """The distribution that a step's tokens are drawn from, and what led to it."""

    logits: torch.Tensor
    raw: Distribution
    entropies: list[float]
    processed: ProcessedScores
    is_steered: list[bool]
    updates: dict[int, Update] = field(default_factory=dict)
    unsteered: list[float] | None = None


class DecodeLoop:
    """Decodes one batch from its filled cache on."""

    def __init__(
        self,
        hf_model: PreTrainedModel,
        prompt: Prompt,
        cache: DynamicCache,
        *,
        config: VReasonConfig,
        rules: LoopRules,
        seconds: DecodingSeconds | None = None,
        find_point: FindPoint = find_steering_point,
    ) -> None:
        """Make the cache and the controllers ready.

        Args:
            hf_model: The model.
            prompt: What `cache` was filled with.
            cache: Entries of the whole prompt; shortened in place under Lite.
            config: The V-Reason configuration.
            rules: Sampling, stopping, watching.
            seconds: Wall times of what came before.
            find_point: Finds where the model is steered; a model family's own where the usual place is not it.

        Raises:
            GenerationError: the model or this batch cannot be decoded under `config`.
        """
        self._hf_model = hf_model
        self._config = config
        self._rules = rules
        self._cache = cache
        self._seconds = seconds or DecodingSeconds()
        self._positions = NextPositions(prompt.position_ids)
        self._input_ids = prompt.input_ids
        self._num_video_tokens = prompt.video_mask.sum(dim=1).tolist()
        video_mask, self._attention_mask = prompt.video_mask, prompt.attention_mask
        if config.lite:
            video_mask, self._attention_mask = drop_video_tokens(
                cache, video_mask, keep_ratio=config.lite_keep_ratio, attention_mask=prompt.attention_mask
            )
        self._num_kept = video_mask.sum(dim=1).tolist()
        self._lean = lean_decoder(hf_model, cache, self._positions, self._attention_mask)
        self._steering = self._steer(video_mask, find_point)
        self._rows = [Row(config) for _ in prompt.input_ids]
        self._scores: list[torch.Tensor] = []
        self._logits: list[torch.Tensor] = []
        self._norms = {row: 0.0 for row, c in enumerate(self._steering.controllers) if c is not None}

    def run(self, first_logits: torch.Tensor) -> DecodeResult:
        """Decode until every row has ended.

        Args:
            first_logits: `(batch, vocab_size)`, raw logits of the first new token, from reading the prompt.

        Raises:
            GenerationError: the model's logits are not finite.
        """
        started = seconds_now(self._hf_model.device)
        try:
            with self._steering:
                step = 0
                while any(row.is_running for row in self._rows):
                    self._finish_step(step, self._choose(step, first_logits))
                    step += 1
        finally:
            if self._lean is not None:
                self._lean.release()
        return self._result(seconds_now(self._hf_model.device) - started)

    def _steer(self, video_mask: torch.Tensor, find_point: FindPoint) -> Unsteered:
        """Return the steering; one without effect if the schedule is off or no row has video tokens."""
        if self._lean is None or not (self._config.is_steering and bool(video_mask.any())):
            return steer(self._hf_model, self._cache, video_mask, self._config, find_point)
        point = find_point(self._hf_model)
        check_state(self._hf_model, point)
        entries: Any = self._cache.layers[-1]
        return LeanSteering(self._lean, entries.values, video_mask, self._config)

    def _choose(self, step: int, first_logits: torch.Tensor) -> _Step:
        """Run the model for one step, and the updates that fall on it."""
        due = [index for index, row in enumerate(self._rows) if self._is_due(step, index, row)]
        with self._steering.tracing(due):
            logits = first_logits if step == 0 else self._forward(step)
            raw = distribution(logits)
        is_steered = self._steering.is_effective
        entropies = raw.entropy.tolist()
        check_finite(entropies, step)
        processed = self._rules.sampler.process(self._input_ids, logits)
        current = _Step(logits.detach(), raw, entropies, processed, is_steered)
        self._update(step, [index for index in due if not processed.forced[index]], current)
        if self._config.record_unsteered_entropy:
            current.unsteered = self._unsteered(current)
        return current

    def _is_due(self, step: int, index: int, row: Row) -> bool:
        return row.is_running and row.is_warm and self._steering.is_due(step, index)

    def _forward(self, step: int) -> torch.Tensor:
        """Return the logits `(batch, vocab_size)` after the tokens that the step before chose."""
        if self._lean is not None:
            running = [index for index, row in enumerate(self._rows) if row.is_running]
            return self._lean.step(self._input_ids[:, -1], step - 1, running)
        if self._attention_mask is not None:
            ones = self._attention_mask.new_ones((len(self._rows), 1))
            self._attention_mask = torch.cat([self._attention_mask, ones], dim=1)
        outputs = self._hf_model(
            input_ids=self._input_ids[:, -1:],
            attention_mask=self._attention_mask,
            position_ids=self._positions.at(step - 1),
            use_cache=True,
            logits_to_keep=1,
            return_dict=True,
            **cache_argument(self._cache),
        )
        logits: torch.Tensor = outputs.logits[:, -1].to(self._input_ids.device)
        return logits

    def _update(self, step: int, rows: list[int], current: _Step) -> None:
        if not rows:
            return
        switches = {row: self._rows[row].choose_switch(step, current.entropies[row]) for row in rows}
        self._norms.update(self._steering.update(switches, current.raw))
        for row, switch in switches.items():
            current.updates[row] = Update(switch, switch.loss_sign * current.entropies[row])
        if self._config.record_loss_after or self._config.apply_to == "current":
            self._look_again(step, current)

    def _look_again(self, step: int, current: _Step) -> None:
        """Evaluate the updated rows once more: for the loss after, or to draw from."""
        logits = self._steering.steered_logits().to(current.logits.device)
        entropies = distribution(logits).entropy.tolist()
        check_finite(entropies, step)
        if self._config.record_loss_after:
            for row, update in current.updates.items():
                update.loss_after = update.switch.loss_sign * entropies[row]
        if self._config.apply_to == "current":
            rows = torch.tensor(list(current.updates), device=logits.device)
            current.logits = current.logits.index_copy(0, rows, logits[rows])
            current.raw = distribution(current.logits)
            current.entropies = current.raw.entropy.tolist()
            current.processed = self._rules.sampler.process(self._input_ids, current.logits)
            current.is_steered = self._steering.is_effective

    def _unsteered(self, current: _Step) -> list[float]:
        """Return the base model's entropies; those of rows without effect so far are their own."""
        if not any(current.is_steered):
            return current.entropies
        base = distribution(self._steering.base_logits()).entropy.tolist()
        return [
            base[row] if steered else entropy
            for row, (entropy, steered) in enumerate(zip(current.entropies, current.is_steered, strict=True))
        ]

    def _finish_step(self, step: int, current: _Step) -> None:
        """Draw the tokens, record them and end the rows that are done."""
        tokens = self._rules.sampler.draw(current.processed.scores)
        if not all(row.is_running for row in self._rows):
            running = torch.tensor([row.is_running for row in self._rows], device=tokens.device)
            tokens = torch.where(running, tokens, self._rules.pad_token_id)
        self._input_ids = torch.cat([self._input_ids, tokens.unsqueeze(1)], dim=1)
        if self._rules.keep_scores:
            self._scores.append(current.processed.scores)
        if self._rules.keep_logits:
            self._logits.append(current.logits.float())
        cancelled = self._record(step, tokens, current)
        scores = tuple(self._scores) if self._rules.keep_scores else None
        for row, reason in zip(self._rows, self._rules.stop.check(self._input_ids, scores), strict=True):
            if row.is_running:
                row.finish_reason = reason
        for index in cancelled:
            self._rows[index].finish_reason = self._rows[index].finish_reason or "cancelled"
        if self._rules.streamer is not None:
            self._rules.streamer.put(tokens.cpu())

    def _record(self, step: int, tokens: torch.Tensor, current: _Step) -> list[int]:
        """Record the running rows' tokens; return the rows whose watcher asked to end."""
        logprobs = current.raw.log_probs.gather(1, tokens.unsqueeze(1)).squeeze(1).tolist()
        certainties = self_certainty(current.raw.log_probs).tolist()
        top_logprobs = self._top_logprobs(current.raw.log_probs)
        cancelled = []
        for index, (row, token) in enumerate(zip(self._rows, tokens.tolist(), strict=True)):
            if not row.is_running:
                continue
            entropy, forced = current.entropies[index], current.processed.forced[index]
            state, update = row.observe(step, entropy, forced=forced), current.updates.get(index)
            record = StepRecord(
                row=index,
                step=step,
                token_id=token,
                logprob=logprobs[index],
                entropy=entropy,
                entropy_ema=state.entropy_ema,
                phase=state.phase,
                forced=forced,
                switch=update.switch if update else None,
                loss=update.loss if update else None,
                loss_after=update.loss_after if update else None,
                controller_norm=self._norms.get(index),
                unsteered_entropy=current.unsteered[index] if current.unsteered else None,
                self_certainty=certainties[index],
                top_logprobs=top_logprobs[index],
            )
            row.records.append(record)
            if self._rules.on_token is not None and self._rules.on_token(record):
                cancelled.append(index)
        return cancelled

    def _top_logprobs(self, log_probs: torch.Tensor) -> list[TopLogprobs]:
        if self._rules.num_top_logprobs == 0:
            return [()] * len(log_probs)
        values, ids = log_probs.topk(min(self._rules.num_top_logprobs, log_probs.shape[-1]), dim=-1)
        return [tuple(zip(*row, strict=True)) for row in zip(ids.tolist(), values.tolist(), strict=True)]

    def _result(self, decode_seconds: float) -> DecodeResult:
        seconds = replace(self._seconds, decode=decode_seconds, updates=self._steering.seconds)
        return DecodeResult(
            sequences=[[record.token_id for record in row.records] for row in self._rows],
            finish_reasons=[row.finish_reason for row in self._rows if row.finish_reason is not None],
            traces=[self._trace(index, row, seconds) for index, row in enumerate(self._rows)],
            top_logprobs=[[record.top_logprobs for record in row.records] for row in self._rows],
            input_ids=self._input_ids,
            cache=self._cache,
            scores=tuple(self._scores) if self._rules.keep_scores else None,
            logits=tuple(self._logits) if self._rules.keep_logits else None,
        )

    def _why_not_steered(self, index: int) -> str | None:
        if self._steering.controllers[index] is not None:
            return None
        return "the prompt has no video tokens" if self._config.is_steering else "the schedule is off"

    def _trace(self, index: int, row: Row, seconds: DecodingSeconds) -> DecodingTrace:
        return DecodingTrace.from_steps(
            self._config,
            row.records,
            steered=self._steering.controllers[index] is not None,
            not_steered_because=self._why_not_steered(index),
            num_video_tokens=self._num_video_tokens[index],
            num_video_tokens_kept=self._num_kept[index],
            seconds=seconds,
        )
