"""`VideoLanguageModel`: requests in, generations out, and what it is as plain data.

One generation runs at a time per model (a lock), positions are explicit and features are computed per prompt, so what a
request gets does not depend on what was asked before, beside it, or from another thread, except that what was read
before is not read again (`reuse`). Every sampled request draws from its own `torch.Generator`.
"""

from __future__ import annotations

import copy
import hashlib
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList

from vreason_agent.answers import parse_answer
from vreason_agent.decoding import DecodeResult, StepRecord, VReasonConfig, decode
from vreason_agent.decoding.continuations import can_score, score_continuations
from vreason_agent.decoding.decode import read_prompt
from vreason_agent.decoding.prompt import make_prompt
from vreason_agent.errors import GenerationError
from vreason_agent.model.draft import EncodedPrompt
from vreason_agent.model.encoding import PromptEncoder, VisionSpec
from vreason_agent.model.families.base import ModelFamily
from vreason_agent.model.grammar import GrammarWords
from vreason_agent.model.option_scores import OptionTexts
from vreason_agent.model.parts import (
    Generation,
    GenerationRequest,
    OptionScores,
    Reuse,
    SamplingParams,
    StreamEvent,
    TextPart,
    Turn,
)
from vreason_agent.model.placement import memory_remedy, out_of_memory_as
from vreason_agent.model.preprocess import FrameResize, frame_resize
from vreason_agent.model.prompts import AnswerParser, QuestionPrompt, reasoning_prompt
from vreason_agent.model.reuse import KeptPrompt, ReuseStore, content_of, first_row, keeps_all_entries, repeated
from vreason_agent.model.source import BUNDLED_NAME
from vreason_agent.model.text_stream import TextStream
from vreason_agent.model.threads import chosen_threads
from vreason_agent.model.vision import (
    PartKeys,
    VisionReading,
    block_keys,
    part_keys,
    preprocess_prompt,
    read_vision,
    takes_features,
    vision_inputs,
)
from vreason_agent.telemetry import chat_span

__all__ = ["OnToken", "VideoLanguageModel", "VideoTimeWarning", "describe_model"]

OnToken: TypeAlias = Callable[[StreamEvent], bool | None]
"""Called with every event of a stream; returning True ends that row."""


class VideoTimeWarning(UserWarning):
    """The model cannot tell some frames apart in time; the text is also in `Generation.notes`."""


@dataclass(eq=False)
class VideoLanguageModel:
    """A loaded model. Make one with `load_model`.

    Attributes:
        name: what it was asked for by: `tiny`, a folder or a hub id.
        revision: the hub revision asked for.
        family: how its prompts and positions are made.
        hf_model: the transformers model, frozen, in evaluation mode.
        tokenizer: the transformers tokenizer.
        encoder: turns to token ids; its `video` and `image` say what a frame may cost.
        device: where it runs.
        dtype: precision of the weights.
        context_length: most tokens, prompt and answer together.
        stop_token_ids: end-of-sequence tokens.
        pad_token_id: what shorter rows of a batch are filled with.
        question_prompt: question and options to the text of the user's turn; the family's default.
        answer_parser: generated text and options to the answer.
        reuse: features and prompts that were read, by content; `reuse.max_bytes` bounds it.
        lock: held while generating.
    """

    name: str
    revision: str | None
    family: ModelFamily
    hf_model: Any
    tokenizer: Any
    encoder: PromptEncoder
    device: torch.device
    dtype: torch.dtype
    context_length: int
    stop_token_ids: tuple[int, ...]
    pad_token_id: int
    question_prompt: QuestionPrompt = reasoning_prompt
    answer_parser: AnswerParser = parse_answer
    reuse: ReuseStore = field(default_factory=ReuseStore, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def generate(self, requests: Sequence[GenerationRequest], *, on_token: OnToken | None = None) -> list[Generation]:
        """Answer requests, batching those that share sampling rules and steering.

        Args:
            requests: conversations; a row of a batch gets what it would get alone.
            on_token: called from this thread with every event; returning True ends that row.

        Returns:
            One generation per request, in the same order.

        Raises:
            GenerationError: a prompt leaves no room in the context, memory ran out, decoding failed, or this process
                was forked after the model was loaded onto a graphics card.
            ConfigError: a request is malformed.

        Warns:
            VideoTimeWarning: the model's family cannot tell some of the frames apart in time.
        """
        prompts = [self.encoder.encode(request.turns, request.tools) for request in requests]
        for note in dict.fromkeys(note for prompt in prompts for note in prompt.notes):
            warnings.warn(note, VideoTimeWarning, stacklevel=2)
        limits = [self._max_new_tokens(prompt, request) for prompt, request in zip(prompts, requests, strict=True)]
        groups: dict[Any, list[int]] = {}
        for row, request in enumerate(requests):
            shared = replace(request.sampling, seed=None, stop=(), max_new_tokens=limits[row])
            groups.setdefault((shared, request.vreason), []).append(row)
        answers: dict[int, Generation] = {}
        with self.lock, chosen_threads(self.num_parameters, self.device):
            for (shared, vreason), rows in groups.items():
                batch = _Batch(self, [(row, requests[row], prompts[row]) for row in rows], on_token)
                try:
                    group = [requests[row] for row in rows]
                    with chat_span(self.name, group) as tell, self._memory_told([prompts[row] for row in rows]):
                        generations = batch.run(shared, vreason)
                        tell(generations)
                    answers.update(zip(rows, generations, strict=True))
                except GenerationError:
                    self.reuse.clear()  # it may be what took the memory
                    raise
        return [answers[row] for row in range(len(requests))]

    def frame_resize(self, num_frames: int, height: int, width: int) -> FrameResize | None:
        """Return the resize of a video's frames that may be done while they are read; see `preprocess.frame_resize`."""
        if not self.family.resizes_once:
            return None
        spec = self.encoder.video
        return frame_resize(height, width, lambda h, w: self.family.fit(num_frames, h, w, spec.settings, spec.budget))

    def count_tokens(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Number of tokens of a conversation, those of pictures included; no pixel is touched, no turn counts 0."""
        return self.encoder.count_tokens(turns, tools)

    @cached_property
    def num_parameters(self) -> int:
        """Numbers in all weights."""
        return sum(weight.numel() for weight in self.hf_model.parameters())

    @cached_property
    def num_bytes(self) -> int:
        """Memory of the weights, bytes."""
        return sum(weight.numel() * weight.element_size() for weight in self.hf_model.parameters())

    @cached_property
    def weights_digest(self) -> str:
        """Twelve hex digits of the weights: of each one's name and shape and of 256 of its numbers, evenly chosen."""
        digest = hashlib.sha256()
        for name, weight in self.hf_model.named_parameters():
            numbers = weight.detach().flatten()
            chosen = numbers[:: max(1, len(numbers) // 256)].float().cpu().numpy()
            digest.update(f"{name}{tuple(weight.shape)}".encode() + chosen.tobytes())
        return digest.hexdigest()[:12]

    @cached_property
    def quantization(self) -> str | None:
        """Name of the method that its weights were quantized by; `None` without one."""
        config = getattr(self.hf_model.config, "quantization_config", None)
        method = config.get("quant_method") if isinstance(config, Mapping) else getattr(config, "quant_method", None)
        return None if method is None else str(getattr(method, "value", method))

    @cached_property
    def starts_in_reasoning(self) -> bool:
        """Whether the chat template itself opens `<think>`, as those of thinking-only models do."""
        prompt = self.encoder.encode([Turn("user", (TextPart("?"),))])
        return str(self.tokenizer.decode(prompt.input_ids[-8:])).rstrip().endswith("<think>")

    @cached_property
    def grammar_words(self) -> GrammarWords:
        """What grammars for this model are written in.

        Raises:
            ConfigError: the model's tokenizer cannot be used with grammars.
        """
        vocab_size = int(self.hf_model.config.get_text_config().vocab_size)
        return GrammarWords(self.tokenizer, vocab_size, self.stop_token_ids)

    def _memory_told(self, prompts: Sequence[EncodedPrompt]) -> AbstractContextManager[None]:
        num_tokens = max(prompt.num_tokens for prompt in prompts)
        num_frames = sum(use.num_frames for prompt in prompts for use in prompt.uses)
        beside = f" in a batch of {len(prompts)}" if len(prompts) > 1 else ""
        return out_of_memory_as(
            GenerationError,
            f"a prompt of {num_tokens} tokens{beside} with {num_frames} frames, beside {self.num_bytes / 1e9:.3g} GB "
            f"of weights as {str(self.dtype).removeprefix('torch.')}",
            self.device,
            remedy="Use fewer frames (--max-frames), smaller ones (load_model(..., pixel_budget=PixelBudget(...))) "
            f"or smaller batches. {memory_remedy(self.device, self.dtype)}",
        )

    def _max_new_tokens(self, prompt: EncodedPrompt, request: GenerationRequest) -> int:
        room = self.context_length - prompt.num_tokens
        if room >= 1:
            return min(request.sampling.max_new_tokens, room)
        words = self.count_tokens([_without_pictures(turn) for turn in request.turns], request.tools)
        if words >= self.context_length:
            share = words - self.count_tokens([_without_pictures(turn) for turn in request.turns])
            tools = f" ({share} of them describe {len(request.tools)} tools)" if request.tools else ""
            raise GenerationError(
                f"the text of the prompt alone has {words} tokens{tools} and the model's context holds "
                f"{self.context_length}, answer included. {'Bind fewer tools, s' if tools else 'S'}horten the "
                "question, its options or the conversation, or choose a model with a longer context"
            )
        pictures = sum(use.num_tokens for use in prompt.uses)
        raise GenerationError(
            f"the prompt has {prompt.num_tokens} tokens ({pictures} of them pictures) and the model's context holds "
            f"{self.context_length}, answer included. Use fewer frames (--max-frames), smaller ones "
            "(load_model(..., pixel_budget=PixelBudget(...))) or a shorter conversation"
        )


def describe_model(model: VideoLanguageModel) -> dict[str, Any]:
    """Return a model's family, size, placement, limits and route for time; JSON-plain.

    Returns:
        `name`, `bundled` (whether it is the toy model), `revision`, `family`, `architecture`, `time_route`,
        `num_parameters`, `num_layers`, `device`, `dtype`, `attention`, `context_tokens`, and under `video` and `image`
        what a frame may cost: `min_px` and `max_px` of one frame after the resize, `max_total_px` of all temporal pairs
        together (`None` for no limit), and the same in tokens of a temporal pair or an image.
    """
    text = model.hf_model.config.get_text_config()
    return {
        "name": model.name,
        "bundled": model.name == BUNDLED_NAME,
        "revision": model.revision,
        "family": model.family.name,
        "architecture": model.family.architecture,
        "time_route": model.family.time_route,
        "num_parameters": model.num_parameters,
        "num_layers": int(text.num_hidden_layers),
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": str(text._attn_implementation),
        "context_tokens": model.context_length,
        "video": _limits(model.encoder.video),
        "image": _limits(model.encoder.image),
    }


def _limits(spec: VisionSpec) -> dict[str, int | None]:
    budget, token_px = spec.budget, spec.settings.factor**2
    limits = {"min": budget.min_pixels, "max": budget.max_pixels, "max_total": budget.max_total_pixels}
    pixels = {f"{name}_px": value for name, value in limits.items()}
    return pixels | {f"{name}_tokens": None if px is None else px // token_px for name, px in limits.items()}


def _without_pictures(turn: Turn) -> Turn:
    return replace(turn, parts=tuple(part for part in turn.parts if isinstance(part, TextPart)))


@dataclass(frozen=True)
class _Read:
    """What of a batch was read before decoding begins.

    Attributes:
        vision: features of the pictures that are still to be read.
        content: of the prompt that all rows share, as it is kept; `None` where they differ or nothing is kept.
        cache: entries of the prompt's first tokens; `None` for none.
        num_cached: tokens of the prompt that an earlier prompt had read.
        past: tokens that `cache` holds.
    """

    vision: VisionReading
    content: torch.Tensor | None = None
    cache: DynamicCache | None = None
    num_cached: int = 0
    past: int = 0


class _Batch:
    """One run of the decode loop over rows that share their rules."""

    def __init__(
        self,
        model: VideoLanguageModel,
        rows: Sequence[tuple[int, GenerationRequest, EncodedPrompt]],
        on_token: OnToken | None,
    ) -> None:
        self._model, self._rows, self._on_token = model, rows, on_token
        self._streams = [TextStream(model.tokenizer, request.sampling.stop) for _, request, _ in rows]
        self._tops: list[list[tuple[tuple[int, float], ...]]] = [[] for _ in rows]

    def run(self, shared: SamplingParams, vreason: VReasonConfig) -> list[Generation]:
        """Preprocess, encode, decode, and put the results together."""
        begin = time.perf_counter()
        read = self._read()
        result = self._decode(read, shared, vreason)
        if read.content is not None and keeps_all_entries(result.cache):  # Lite and windows leave too few
            num_prompt, written = self._rows[0][2].num_tokens, result.sequences[0][:-1]
            self._keep(read, first_row(result.cache, num_prompt + len(written)), num_prompt, written)
        seconds = {"preprocess": read.vision.preprocess_seconds, "total": time.perf_counter() - begin}
        return [self._generation(i, result, read, seconds) for i in range(len(self._rows))]

    def _read(self) -> _Read:
        """Find what was read before, and run the vision tower on the rest.

        Rows of one content are read once. Rows that differ are padded, which no kept prompt is: they share features.
        """
        model, prompts = self._model, [prompt for _, _, prompt in self._rows]
        store = model.reuse if all(request.reuse for _, request, _ in self._rows) else ReuseStore(0)
        keys = [part_keys(prompt, model.encoder) for prompt in prompts]
        contents = [content_of(prompt, block_keys(prompt, each)) for prompt, each in zip(prompts, keys, strict=True)]
        is_one = all(torch.equal(contents[0], other) for other in contents[1:])
        can_crop = keeps_all_entries(_new_cache(model.hf_model))
        if not (store.max_bytes and is_one and (can_crop or len(prompts) == 1)):
            return _Read(self._see(prompts, keys, store))
        cache, past = store.find_prompt(prompts[0], contents[0]) or (None, 0)
        num_blocks, num_known = len(prompts[0].vision_spans), sum(stop <= past for _, stop in prompts[0].vision_spans)
        if num_known < num_blocks and not takes_features(model.hf_model):
            cache, past, num_known = None, 0, 0  # its prefill takes the pixels of all blocks or of none
        vision = (
            self._see(prompts[:1], keys[:1], store, num_known)
            if num_known < num_blocks
            else VisionReading(vision_seconds=0.0)
        )
        read = _Read(vision, contents[0], cache, num_cached=past, past=past)
        if len(prompts) > 1:
            cache = self._read_until(read, stop := prompts[0].num_tokens - 1)
            return replace(read, vision=vision.done, cache=repeated(cache, len(prompts)), past=stop)
        if not can_crop and num_known < num_blocks:
            cache = self._read_until(read, stop := prompts[0].vision_spans[-1][1])
            self._keep(read, copy.deepcopy(cache), stop)
            return replace(read, vision=vision.done, cache=cache, past=stop)
        return read

    def _see(
        self, prompts: Sequence[EncodedPrompt], keys: Sequence[PartKeys], store: ReuseStore, num_known: int = 0
    ) -> VisionReading:
        """Run the vision tower on what the store does not hold, or leave that to the prefill where it must."""
        model = self._model
        if takes_features(model.hf_model):
            return read_vision(prompts, keys, model.encoder, model.hf_model, store, num_known=num_known)
        began = time.perf_counter()
        pixels = [preprocess_prompt(prompt, model.encoder) for prompt in prompts]
        seconds = time.perf_counter() - began
        inputs = vision_inputs(model.family, model.hf_model, pixels, model.device)
        return VisionReading(inputs, preprocess_seconds=seconds)

    def _read_until(self, read: _Read, stop: int) -> DynamicCache:
        """Read the first row's prompt up to a token behind its last vision block, on from what was read."""
        prompt, hf_model = self._rows[0][2], self._model.hf_model
        cache = read.cache or _new_cache(hf_model)
        if stop > read.past:
            positions = self._positions([prompt])[..., :stop]
            with torch.inference_mode(False), torch.no_grad():
                given = make_prompt(hf_model, prompt.input_ids[None, :stop], None, None, positions)
                read_prompt(hf_model, given, cache, self._prefill_inputs(read, [prompt], stop))
        return cache

    def _positions(self, prompts: Sequence[EncodedPrompt]) -> torch.Tensor:
        positions = pad_left([prompt.position_ids for prompt in prompts], 0).to(self._model.device)
        return positions if positions.ndim == 2 else positions.transpose(0, 1)

    def _prefill_inputs(self, read: _Read, prompts: Sequence[EncodedPrompt], stop: int | None = None) -> dict[str, Any]:
        if not self._model.family.needs_token_types:
            return read.vision.inputs
        types = pad_left([prompt.token_types for prompt in prompts], 0)[:, read.past : stop]
        return {**read.vision.inputs, "mm_token_type_ids": types.to(self._model.device)}

    def _keep(self, read: _Read, cache: DynamicCache, num_read: int, written: Sequence[int] = ()) -> None:
        """Keep the first tokens of the first row's prompt, and what was written after it."""
        prompt, ids = self._rows[0][2], torch.tensor(written, dtype=torch.long)
        assert read.content is not None  # nothing is kept without
        later = prompt.position_ids[..., -1:] + 1 + torch.arange(len(ids))
        content = torch.cat([read.content[:num_read], ids])
        positions = torch.cat([prompt.position_ids[..., :num_read], later], dim=-1)
        self._model.reuse.keep_prompt(KeptPrompt(content, positions, cache))

    def _decode(self, read: _Read, shared: SamplingParams, vreason: VReasonConfig) -> DecodeResult:
        model = self._model
        prompts = [prompt for _, _, prompt in self._rows]
        device = model.device
        lengths = [torch.ones_like(prompt.input_ids) for prompt in prompts]
        return decode(
            model.hf_model,
            input_ids=pad_left([prompt.input_ids for prompt in prompts], model.pad_token_id).to(device),
            attention_mask=pad_left(lengths, 0).to(device),
            video_mask=pad_left([prompt.video_mask for prompt in prompts], 0).to(device),
            position_ids=self._positions(prompts),
            prefill_inputs=self._prefill_inputs(read, prompts),
            config=vreason,
            generation_config=generation_config(shared, model.stop_token_ids, model.pad_token_id),
            logits_processor=self._grammars(),
            generators=self._generators() if shared.temperature > 0 else None,
            on_token=self._take,
            num_top_logprobs=shared.num_top_logprobs,
            cache=read.cache,
            find_point=model.family.steering_point,
        )

    def _grammars(self) -> LogitsProcessorList | None:
        grammars = [request.grammar for _, request, _ in self._rows]
        if not any(grammars):
            return None
        return LogitsProcessorList([self._model.grammar_words.processor(grammars)])

    def _generators(self) -> list[torch.Generator]:
        generators = []
        for _, request, _ in self._rows:
            generator = torch.Generator(device=self._model.device)
            seed = request.sampling.seed
            generator.seed() if seed is None else generator.manual_seed(seed)
            generators.append(generator)
        return generators

    def _take(self, record: StepRecord) -> bool:
        """Pass one token on as text; True ends the row."""
        stream, row = self._streams[record.row], self._rows[record.row][0]
        text = stream.push(record.token_id)
        self._tops[record.row].append(record.top_logprobs)
        if self._on_token is None:
            return stream.is_stopped
        return bool(self._on_token(StreamEvent(row, text, record))) or stream.is_stopped

    def _generation(self, index: int, result: DecodeResult, read: _Read, seconds: dict[str, float]) -> Generation:
        row, request, prompt = self._rows[index]
        stream, trace, ids = self._streams[index], result.traces[index], result.sequences[index]
        rest = stream.finish()
        if rest and self._on_token is not None:
            self._on_token(StreamEvent(row, rest))
        trace = replace(trace, seconds=replace(trace.seconds, vision=read.vision.vision_seconds))
        known = {name: value for name, value in vars(trace.seconds).items() if value is not None}
        return Generation(
            text=stream.text,
            token_ids=tuple(ids),
            token_texts=tuple(stream.token_texts),
            trace=trace,
            finish_reason="stop" if stream.is_stopped else result.finish_reasons[index],
            prompt_tokens=prompt.num_tokens,
            video_tokens=int(prompt.video_mask.sum()),
            top_logprobs=tuple(self._tops[index]) if request.sampling.num_top_logprobs else (),
            seconds={**known, **seconds},
            vision=prompt.uses,
            notes=(*prompt.notes, *self._context_note(prompt, request.sampling, len(ids))),
            option_scores=self._score_options(index, result),
            reuse=self._reuse(index, read),
        )

    def _reuse(self, index: int, read: _Read) -> Reuse:
        """What a row did not read again; of rows that begin alike, the later ones take what the first one read."""
        kept_bytes = self._model.reuse.num_bytes
        if index and read.content is not None:
            return Reuse(read.past, kept_bytes=kept_bytes)
        vision = read.vision
        if not vision.num_encoded:  # nothing was left to see, or the prefill ran the vision tower
            return Reuse(read.num_cached, kept_bytes=kept_bytes)
        return Reuse(read.num_cached, vision.num_reused[index], vision.num_encoded[index], kept_bytes)

    def _score_options(self, index: int, result: DecodeResult) -> OptionScores | None:
        """Measure how likely each option is, by one pass on the cache that decoding left."""
        _, request, prompt = self._rows[index]
        model, stream, ids = self._model, self._streams[index], result.sequences[index]
        if not request.options or not ids or not can_score(model.hf_model, result.cache):
            return None
        longest = max(one.num_tokens for _, _, one in self._rows)
        num_steps = result.input_ids.shape[1] - longest
        branches = OptionTexts(model.tokenizer, model.question_prompt).branches(
            request.options,
            stream.text,
            ids,
            stream.token_texts,
            num_prompt_entries=result.cache.get_seq_length() - (num_steps - 1),
            last_prompt_id=int(prompt.input_ids[-1]),
            starts_in_reasoning=model.starts_in_reasoning,
        )
        before, *after = score_continuations(
            model.hf_model,
            result.cache,
            row=index,
            num_padding=longest - prompt.num_tokens,
            position_ids=prompt.position_ids,
            branches=branches,
        )
        return OptionScores(tuple(before), tuple(after[0]) if after else None)

    def _context_note(self, prompt: EncodedPrompt, sampling: SamplingParams, num_generated: int) -> tuple[str, ...]:
        room = self._model.context_length - prompt.num_tokens
        if num_generated < room or room >= sampling.max_new_tokens:
            return ()
        return (
            f"The prompt of {prompt.num_tokens} tokens leaves {room} of the context of {self._model.context_length} "
            f"for the answer, fewer than the {sampling.max_new_tokens} allowed.",
        )


def _new_cache(hf_model: Any) -> DynamicCache:
    return DynamicCache(config=hf_model.config.get_text_config(decoder=True))


def pad_left(rows: Sequence[torch.Tensor], value: int) -> torch.Tensor:
    """Stack tensors `(..., length_i)` to `(batch, ..., max length)`, filled up with `value` on the left."""
    longest = max(row.shape[-1] for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (longest - row.shape[-1], 0), value=value) for row in rows])


def generation_config(sampling: SamplingParams, stop_token_ids: Sequence[int], pad_token_id: int) -> GenerationConfig:
    """Express sampling rules for transformers' logits processors.

    Nothing of the model's own `generation_config.json` goes in but its end and padding tokens.
    """
    rules: dict[str, Any] = {"do_sample": sampling.temperature > 0, "repetition_penalty": sampling.repetition_penalty}
    if sampling.temperature > 0:
        rules |= {"temperature": sampling.temperature, "top_p": sampling.top_p or 1.0, "top_k": sampling.top_k or 0}
        rules |= {"min_p": sampling.min_p}
    return GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=list(stop_token_ids),
        pad_token_id=pad_token_id,
        **rules,
    )
