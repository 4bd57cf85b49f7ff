"""How likely given continuations are at places of a decoded sequence, by one forward pass on the cache it left.

All places and continuations share that pass as a tree: every token attends to the entries before its place and to its
own line of descent. The cache is left as it was. This module knows tokens, no texts and no model class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from vreason_agent.decoding.cache import LiteLayer
from vreason_agent.decoding.compat import cache_argument
from vreason_agent.decoding.entropy import distribution
from vreason_agent.decoding.prompt import NextPositions

TREE_ATTENTION = ("sdpa", "eager")
"""Attention implementations that take a mask of any form."""
_WHOLE = (DynamicLayer, LiteLayer)


@dataclass(frozen=True)
class Branch:
    """A place in a sequence, and what may follow there.

    Attributes:
        num_entries: Cache entries before it, the row's padding counted.
        step: Number of its first token as if it had been generated, from 0; -1 is the prompt's last token.
        prefix: Tokens that are read first, at least one.
        continuations: What may follow them, each at least one token.
    """

    num_entries: int
    step: int
    prefix: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Node:
    """One token of the tree: its parent's index in it, and its branch."""

    token_id: int
    step: int
    parent: int | None
    branch: Branch


def can_score(hf_model: PreTrainedModel, cache: DynamicCache) -> bool:
    """Return whether a tree can be read on: the attention takes any mask, and every layer keeps all entries.

    Layers that keep a window or a state have nothing to say of an earlier place.
    """
    text: Any = hf_model.config.get_text_config()
    return text._attn_implementation in TREE_ATTENTION and all(type(one) in _WHOLE for one in cache.layers)


@torch.no_grad()
def score_continuations(
    hf_model: PreTrainedModel,
    cache: DynamicCache,
    *,
    row: int,
    num_padding: int,
    position_ids: torch.Tensor,
    branches: Sequence[Branch],
) -> list[list[float]]:
    """Return the log-probability (nats) of every continuation of every branch, by one forward pass.

    The pass sees base values: what it tells is the model's own, whatever steered the sequence.

    Args:
        hf_model: The model that filled the cache, and `can_score` it.
        cache: As a `DecodeResult` holds it; not changed.
        row: Row of the batch.
        num_padding: Entries of padding that the row begins with.
        position_ids: The row's prompt's positions `(length,)` or `(axes, length)`.
        branches: Places of this row, at least one.
    """
    nodes, scored = _grow(branches)
    device = hf_model.device
    steps = torch.tensor([node.step for node in nodes], device=device)
    private: Any = hf_model
    outputs = private(
        input_ids=torch.tensor([[node.token_id for node in nodes]], device=device),
        attention_mask=_tree_mask(nodes, num_padding, cache.get_seq_length(), hf_model),
        position_ids=NextPositions(position_ids.to(device).unsqueeze(-2)).at(0) + steps,
        use_cache=True,
        return_dict=True,
        **cache_argument(_row_of(cache, row)),
    )
    log_probs = distribution(outputs.logits[0]).log_probs
    return [[sum(float(log_probs[at, token]) for at, token in path) for path in paths] for paths in scored]


def _grow(branches: Sequence[Branch]) -> tuple[list[_Node], list[list[list[tuple[int, int]]]]]:
    """Return the tokens to read, and for every continuation which of them predicts which token."""
    nodes: list[_Node] = []
    scored: list[list[list[tuple[int, int]]]] = []
    for branch in branches:
        for token in branch.prefix:
            parent = len(nodes) - 1 if nodes and nodes[-1].branch is branch else None
            nodes.append(_Node(token, branch.step if parent is None else nodes[parent].step + 1, parent, branch))
        root = len(nodes) - 1
        paths: list[list[tuple[int, int]]] = []
        for continuation in branch.continuations:
            path: list[tuple[int, int]] = []
            parent = root
            for token in continuation:
                if path:
                    nodes.append(_Node(path[-1][1], nodes[parent].step + 1, parent, branch))
                    parent = len(nodes) - 1
                path.append((parent, token))
            paths.append(path)
        scored.append(paths)
    return nodes, scored


def _tree_mask(nodes: Sequence[_Node], num_padding: int, num_entries: int, hf_model: PreTrainedModel) -> torch.Tensor:
    """Return the additive mask `(1, 1, num_nodes, num_entries + num_nodes)`."""
    allowed = torch.zeros(len(nodes), num_entries + len(nodes), dtype=torch.bool)
    for index, node in enumerate(nodes):
        allowed[index, num_padding : node.branch.num_entries] = True
        allowed[index, [num_entries + at for at in _lineage(nodes, index)]] = True
    mask = torch.zeros(allowed.shape, dtype=hf_model.dtype).masked_fill(~allowed, torch.finfo(hf_model.dtype).min)
    return mask[None, None].to(hf_model.device)


def _lineage(nodes: Sequence[_Node], index: int | None) -> Iterator[int]:
    while index is not None:
        yield index
        index = nodes[index].parent


def _row_of(cache: DynamicCache, row: int) -> DynamicCache:
    """Return a cache of one row that shares the entries; reading on with it leaves them alone."""
    copy = DynamicCache()
    for layer in cache.layers:
        filled: Any = layer
        one = DynamicLayer()  # type: ignore[no-untyped-call]
        keys, values = filled.keys[row : row + 1], filled.values[row : row + 1]
        one.lazy_initialization(keys, values)
        one.keys, one.values = keys, values
        copy.layers.append(one)
    return copy
