"""Turns to token ids: the chat template, the video and image tokens in their places, and the positions of all of them.

Nothing that a user, a tool or a model filled in can become a special token: texts, names, arguments and definitions of
tools alike. The template is rendered with marks in place of them, so that the vision placeholders found afterwards are
the template's own; what spells `<|im_end|>` or `<|video_pad|>`, alone or together with its neighbors, is tokenized
letter by letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jinja2 import TemplateError

from vreason_agent.errors import ConfigError, GenerationError, ModelLoadError, quote
from vreason_agent.model.draft import EncodedPrompt, Picture, PromptDraft, Span
from vreason_agent.model.families.base import Kind, ModelFamily, PairTimes, Segment, VideoLayout
from vreason_agent.model.folder import DEFAULT_TEMPLATE, TOOL_TEMPLATE
from vreason_agent.model.parts import ImagePart, Part, TextPart, Turn, VideoPart, VisionUse
from vreason_agent.model.prompts import needs_tools, write_out_tools
from vreason_agent.model.vision_settings import PixelBudget, VisionSettings

__all__ = ["PromptEncoder", "VisionSpec"]

_PROBE = "probe_whether_tools_are_rendered"
_VIDEO_MESSAGE = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": "?"}]}
_MARK = "\ue000{}\ue001"
_MARKED = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True)
class VisionSpec:
    """How one kind of picture is cut, and what it may cost."""

    settings: VisionSettings
    budget: PixelBudget


class PromptEncoder:
    """Encodes turns for one model."""

    def __init__(
        self,
        tokenizer: Any,
        chat_templates: Mapping[str, str],
        family: ModelFamily,
        config: Any,
        *,
        video: VisionSpec,
        image: VisionSpec,
        source: str,
        template_file: str,
        template_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep what the prompts of a model are made from, and check that it takes video.

        Args:
            tokenizer: the transformers tokenizer.
            chat_templates: Jinja texts by name.
            family: lays out pictures.
            config: the loaded `config.json`.
            video: sizes and budget of videos.
            image: sizes and budget of still images.
            source: the model's name, for messages.
            template_file: where the default template stands, for messages.
            template_options: variables of the template, such as `enable_thinking`.

        Raises:
            ModelLoadError: the config or the chat template has no place for a video, or the template is damaged.
        """
        self.video, self.image = video, image
        self.family = family
        self._tokenizer, self._templates, self._config = tokenizer, chat_templates, config
        self._template_options = dict(template_options or {})
        self._special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        try:
            self._tokens = family.vision_tokens(config, tokenizer)
        except ValueError as exc:
            raise ModelLoadError(
                f"model {quote(source)} has no special token for video: {exc}. config.json must name them and the "
                "tokenizer must have them. Choose a video-language model, for example Qwen/Qwen2.5-VL-3B-Instruct"
            ) from exc
        tokens = self._tokens
        self._ids: dict[Kind, int] = {
            "video": tokenizer.convert_tokens_to_ids(tokens.video_token),
            "image": tokenizer.convert_tokens_to_ids(tokens.image_token),
        }
        block = f"(?:{re.escape(tokens.start)})?{{}}(?:{re.escape(tokens.end)})?"
        kinds = "|".join(block.format(re.escape(place)) for place in (tokens.video_place, tokens.image_place))
        self._placeholder = re.compile(f"({kinds}|{_MARKED.pattern.replace('(', '(?:')})")
        self._check_template(source, template_file)

    def encode(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] = ()) -> EncodedPrompt:
        """Encode a conversation, ready for the assistant's next words.

        Args:
            turns: the conversation, user or tool having the last word.
            tools: definitions of tools in OpenAI's form. A template that knows tools lays them out, with calls and
                results; for others they are written out as text (`prompts`).

        Raises:
            ConfigError: no turn, or the last one is the assistant's.
            GenerationError: the template refuses the turns or drops a part of them.
        """
        if not turns or turns[-1].role == "assistant":
            last = repr(turns[-1].role) if turns else "missing"
            raise ConfigError(f"the last turn is {last}: it must be user or tool; add the question as a user turn")
        return self._encode(turns, tools)

    def count_tokens(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Number of tokens of a conversation, those of pictures included; of one that is answered without the opening.

        No pixel is touched.

        Args:
            turns: the conversation; none counts 0.
            tools: definitions of tools, as `encode` takes them.

        Raises:
            GenerationError: the template refuses the turns or drops a part of them.
        """
        return self._encode(turns, tools).num_tokens if turns else 0

    def _encode(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> EncodedPrompt:
        draft = PromptDraft(self._tokenizer, self._special)
        with_tools = needs_tools(turns, tools)
        if with_tools and not self.knows_tools:
            turns, tools, with_tools = write_out_tools(turns, tools), (), False
        for piece in self._pieces(turns, tools, TOOL_TEMPLATE if with_tools else DEFAULT_TEMPLATE):
            if isinstance(piece, VideoPart):
                self._add_video(draft, piece)
            elif isinstance(piece, ImagePart):
                self._add_image(draft, piece)
            elif isinstance(piece, TextPart):
                draft.add_text(piece.text, is_given=True)
            else:
                draft.add_text(piece)
        return draft.finish(self.family.rope_axes)

    def spec(self, kind: Kind) -> VisionSpec:
        """How pictures of one kind are cut, and what they may cost."""
        return self.video if kind == "video" else self.image

    @cached_property
    def knows_tools(self) -> bool:
        """Whether the model's chat template lays out tools, and videos beside them."""
        probe = {"type": "function", "function": {"name": _PROBE, "description": "", "parameters": {}}}
        rendered = self._render([_VIDEO_MESSAGE], [probe], TOOL_TEMPLATE)
        return _PROBE in rendered and self._tokens.video_place in rendered

    def _pieces(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]], template: str) -> Iterator[str | Part]:
        """Render the template and put the parts back where their places are."""
        texts: list[TextPart] = []
        definitions = [self._guarded(tool, texts) for tool in tools]
        messages = [self._message(turn, texts) for turn in turns]
        pictures = {
            kind: iter([part for turn in turns for part in turn.parts if isinstance(part, kind)])
            for kind in (VideoPart, ImagePart)
        }
        num_places = 0
        for piece in self._placeholder.split(self._render(messages, definitions, template)):
            if mark := _MARKED.fullmatch(piece):
                yield texts[int(mark[1])]
            elif self._placeholder.fullmatch(piece):
                yield self._picture(piece, pictures)
            else:
                yield piece
                continue
            num_places += 1
        num_parts = len(texts) + sum(not isinstance(part, TextPart) for turn in turns for part in turn.parts)
        if num_places != num_parts:
            raise GenerationError(
                f"the chat template of this model kept {num_places} of {num_parts} parts of the conversation; check "
                "the roles, and give system turns text only"
            )

    def _picture(self, place: str, pictures: dict[Any, Iterator[Any]]) -> VideoPart | ImagePart:
        kind = VideoPart if self._tokens.video_place in place else ImagePart
        picture: VideoPart | ImagePart | None = next(pictures[kind], None)
        if picture is None:
            raise GenerationError(
                f"the chat template of this model has more places than there are parts ({kind.__name__}); pass the "
                "turns without pictures in system and tool roles"
            )
        return picture

    def _message(self, turn: Turn, texts: list[TextPart]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": turn.role, "content": _content(turn, texts)}
        if turn.calls:
            calls = [{"name": call.name, "arguments": call.arguments} for call in turn.calls]
            message["tool_calls"] = [{"type": "function", "function": self._guarded(call, texts)} for call in calls]
        return message

    def _guarded(self, value: Any, texts: list[TextPart]) -> Any:
        """Return JSON data with marks in place of strings that spell a special token or a mark."""
        if isinstance(value, Mapping):
            return {self._guarded(key, texts): self._guarded(item, texts) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._guarded(item, texts) for item in value]
        if isinstance(value, str) and any(token in value for token in (*self._special, _MARK[0])):
            texts.append(TextPart(json.dumps(value, ensure_ascii=False)[1:-1]))
            return _MARK.format(len(texts) - 1)
        return value

    def _render(
        self, messages: list[dict[str, Any]], tools: list[Any] | None = None, template: str = DEFAULT_TEMPLATE
    ) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    messages,
                    tools=tools or None,
                    chat_template=self._templates.get(template, self._templates[DEFAULT_TEMPLATE]),
                    tokenize=False,
                    add_generation_prompt=messages[-1]["role"] != "assistant",
                    **self._template_options,
                )
            )
        except TemplateError as exc:
            roles = [message["role"] for message in messages]
            raise GenerationError(
                f"the chat template of this model refuses turns with the roles {roles}: {exc}. Start with system or "
                "user and alternate user and assistant"
            ) from exc

    def _check_template(self, source: str, file: str) -> None:
        try:
            rendered = self._render([_VIDEO_MESSAGE])
        except (
            GenerationError,
            ArithmeticError,
            AttributeError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as exc:
            cause = exc.__cause__ or exc
            raise ModelLoadError(
                f"the chat template of model {quote(source)} in {file} cannot be used ({cause}). Download the file "
                "again: hf download REPO --local-dir FOLDER"
            ) from exc
        tokens = self._tokens
        if tokens.video_place not in rendered:
            raise ModelLoadError(
                f"the chat template of model {quote(source)} has no place for a video ({tokens.video_place}). Use "
                "a model whose chat_template accepts video, for example Qwen/Qwen2.5-VL-3B-Instruct"
            )

    def _add_video(self, draft: PromptDraft, part: VideoPart) -> None:
        pairs = _pair_times(part.timestamps_seconds, self.video.settings.temporal_patch_size)
        layout = self.family.lay_out_video(pairs, self._config)
        self._add(draft, "video", part.images, layout, self.video)

    def _add_image(self, draft: PromptDraft, part: ImagePart) -> None:
        self._add(draft, "image", part.image[None], self.family.lay_out_image(), self.image)

    def _add(self, draft: PromptDraft, kind: Kind, frames: np.ndarray, layout: VideoLayout, spec: VisionSpec) -> None:
        num_frames, height, width = frames.shape[:3]
        fit = self.family.fit(num_frames, height, width, spec.settings, spec.budget)
        _, rows, columns = fit.grid_thw
        per_pair, merge = fit.num_tokens // fit.grid_thw[0], spec.settings.merge_size
        for piece in layout.pieces:
            if isinstance(piece, str):
                draft.add_text(piece)
                continue
            grid = (piece.num_pairs, rows // merge, columns // merge)
            span = Span(piece.num_pairs * per_pair + piece.num_extra, grid, piece.positions_per_pair)
            draft.add_text(self._tokens.start)
            draft.add_vision(kind, self._ids[kind], span)
            draft.add_text(self._tokens.end)
        segments = [piece for piece in layout.pieces if isinstance(piece, Segment)]
        grids = tuple((segment.num_pairs, rows, columns) for segment in segments)
        num_tokens = fit.num_tokens + sum(segment.num_extra for segment in segments)
        draft.pictures.append(Picture(kind, frames, fit, grids))
        draft.uses.append(VisionUse(kind, num_frames, fit.height_px, fit.width_px, per_pair, num_tokens))
        draft.notes.extend(note for note in layout.notes if note not in draft.notes)


def _content(turn: Turn, texts: list[TextPart]) -> str | list[dict[str, str]]:
    """One turn's content for the template, with a mark for every text; a turn of text alone stays a string."""
    content: list[dict[str, str]] = []
    for part in turn.parts:
        if isinstance(part, TextPart):
            content.append({"type": "text", "text": _MARK.format(len(texts))})
            texts.append(part)
        else:
            content.append({"type": "image" if isinstance(part, ImagePart) else "video"})
    if all(item["type"] == "text" for item in content):
        return "".join(item["text"] for item in content)
    return content


def _pair_times(times: Sequence[float], frames_per_pair: int) -> list[PairTimes]:
    """First and last time of every temporal pair; the last frame is repeated to fill the last pair."""
    last = len(times) - 1
    return [
        (times[start], times[min(start + frames_per_pair - 1, last)]) for start in range(0, len(times), frames_per_pair)
    ]
