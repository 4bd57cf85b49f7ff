"""What a model keeps of what it has read, so that it is not read again: features of frames, and prompts.

Both are found by content: a temporal patch by its pixels and size, a prompt by its tokens, its pictures and their
positions. Steering leaves the cache's base values as the model computed them, so that any run may go on from any other.
What is kept is bounded by bytes; what was used longest ago goes first. This module knows no architecture.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from vreason_agent.model.draft import EncodedPrompt

__all__ = ["KeptPrompt", "ReuseStore", "content_of", "first_row", "keeps_all_entries", "repeated"]

DEFAULT_REUSE_BYTES = 512 * 2**20
MIN_SHARED_TOKENS = 32
"""A shorter beginning, such as a system prompt's, is read again: it takes no time that counts."""


@dataclass(frozen=True, eq=False)
class KeptPrompt:
    """A prompt that was read, with what its layers hold.

    Attributes:
        content: int64 `(num_tokens,)`, as `content_of` gives it.
        position_ids: int64 `(num_tokens,)` or `(3, num_tokens)`.
        cache: one row; never changed. Layers that keep a window or a state serve all of the prompt or nothing of it.
    """

    content: torch.Tensor
    position_ids: torch.Tensor
    cache: DynamicCache

    @cached_property
    def head(self) -> bytes:
        """Its first tokens' content: prompts that differ there share nothing worth finding."""
        return head_of(self.content)

    @property
    def num_bytes(self) -> int:
        """Memory of the cache."""
        return sum(_tensor_bytes(value) for layer in self.cache.layers for value in vars(layer).values())

    def num_shared(self, prompt: EncodedPrompt, content: torch.Tensor) -> int:
        """Number of first tokens that a prompt can take from here: whole vision blocks, and never its last token."""
        length = min(len(self.content), len(content) - 1)
        same = self.content[:length] == content[:length]
        same &= (self.position_ids[..., :length] == prompt.position_ids[..., :length]).view(-1, length).all(dim=0)
        num_shared = length if bool(same.all()) else int(same.long().argmin())
        if not keeps_all_entries(self.cache):
            return num_shared if num_shared == len(self.content) else 0
        inside = [start for start, stop in prompt.vision_spans if start < num_shared < stop]
        return inside[0] if inside else num_shared

    def beginning(self, num_tokens: int) -> DynamicCache:
        """Return a cache of the first tokens; reading on with it leaves this one alone."""
        if not keeps_all_entries(self.cache):
            return copy.deepcopy(self.cache)
        return first_row(self.cache, num_tokens)


class ReuseStore:
    """Features and prompts of one model, bounded by bytes. Used under the model's lock only.

    Attributes:
        max_bytes: what may be kept; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int = DEFAULT_REUSE_BYTES) -> None:
        self.max_bytes = max_bytes
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    @property
    def num_bytes(self) -> int:
        """Memory of what is kept."""
        return sum(size for _, size in self._kept.values())

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def find(self, key: Hashable) -> Any | None:
        """Return what was kept under a key."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def keep(self, key: Hashable, value: Any, num_bytes: int) -> None:
        """Keep a value, and let go of what was used longest ago until all fits."""
        self._kept.pop(key, None)
        if num_bytes > self.max_bytes:
            return
        self._kept[key] = (value, num_bytes)
        excess = self.num_bytes - self.max_bytes
        while excess > 0:
            _, (_, size) = self._kept.popitem(last=False)
            excess -= size

    def find_prompt(self, prompt: EncodedPrompt, content: torch.Tensor) -> tuple[DynamicCache, int] | None:
        """Return the longest kept beginning of a prompt as a cache, and its number of tokens."""
        head = head_of(content)
        kept = [(one.num_shared(prompt, content), key) for key, one in self._prompts(head)]
        num_shared, key = max(kept, key=lambda each: each[0], default=(0, None))
        one = self.find(key) if num_shared >= MIN_SHARED_TOKENS else None
        return None if one is None else (one.beginning(num_shared), num_shared)

    def _prompts(self, head: bytes) -> list[tuple[Hashable, KeptPrompt]]:
        kept = [(key, value) for key, (value, _) in self._kept.items()]
        return [(key, one) for key, one in kept if isinstance(one, KeptPrompt) and one.head == head]

    def keep_prompt(self, one: KeptPrompt) -> None:
        """Keep a prompt in place of those that are its beginnings."""
        for key, old in self._prompts(one.head):
            if torch.equal(old.content, one.content[: len(old.content)]):
                del self._kept[key]
        self.keep(("prompt", id(one)), one, one.num_bytes)


def head_of(content: torch.Tensor) -> bytes:
    """Return the content of a prompt's first `MIN_SHARED_TOKENS` as bytes."""
    return content[:MIN_SHARED_TOKENS].numpy().tobytes()


def content_of(prompt: EncodedPrompt, block_keys: Sequence[bytes]) -> torch.Tensor:
    """Return int64 `(num_tokens,)`: token ids, and at the tokens of a vision block a number made of its pixels.

    Args:
        prompt: the prompt.
        block_keys: a digest of each vision block, in the order of the prompt.
    """
    content = prompt.input_ids.clone()
    for (start, stop), key in zip(prompt.vision_spans, block_keys, strict=True):
        content[start:stop] = int.from_bytes(key[:8], "big", signed=True)
    return content


def first_row(cache: DynamicCache, num_tokens: int) -> DynamicCache:
    """Return a cache of the first tokens of the first row, apart from the other rows' memory."""
    row = DynamicCache()
    for layer in cache.layers:
        filled: Any = layer
        parts = [part[:1, :, :num_tokens] for part in (filled.keys, filled.values)]
        row.layers.append(_layer_of(*(part.clone() if len(filled.keys) > 1 else part for part in parts)))
    return row


def repeated(cache: DynamicCache, num_rows: int) -> DynamicCache:
    """Return a cache of so many rows that begin alike."""
    rows = DynamicCache()
    for layer in cache.layers:
        filled: Any = layer
        keys, values = (part.expand(num_rows, -1, -1, -1).contiguous() for part in (filled.keys, filled.values))
        rows.layers.append(_layer_of(keys, values))
    return rows


def keeps_all_entries(cache: DynamicCache) -> bool:
    """Whether every layer holds the entries of all tokens, so that its first ones are those of a shorter prompt."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def _layer_of(keys: torch.Tensor, values: torch.Tensor) -> DynamicLayer:
    layer = DynamicLayer()  # type: ignore[no-untyped-call]
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    return layer


def _tensor_bytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return sum(map(_tensor_bytes, parts))
