"""A lean decode step for text stacks of the Llama and Qwen shape: what transformers computes, without its modules.

transformers reads the prompt and owns the weights. From there on, `LeanDecoder` runs each token as plain tensor
operations: fused projections, keys and values in preallocated buffers, rotations made for many steps at a time, and
no masks, output classes or module calls. The result differs from transformers' forward pass by rounding only.

`lean_decoder` returns `None` for everything it was not written for, which then decodes by `hf_model(...)`. This module
knows where transformers keeps the modules of these text stacks, and nothing of sampling, steering or traces.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import embedding, linear, rms_norm, silu
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from vreason_agent.decoding.cache import LiteLayer
from vreason_agent.decoding.entropy import precise_dtype
from vreason_agent.decoding.prompt import NextPositions

LEAN_MODELS = frozenset(
    {
        *("Qwen2ForCausalLM", "Qwen3ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM"),
        *("Qwen2VLForConditionalGeneration", "Qwen2_5_VLForConditionalGeneration", "Qwen3VLForConditionalGeneration"),
    }
)
_STEPS_AHEAD = 128
"""Tokens for which buffers and rotations are made at a time."""
_fusing = threading.Lock()


class _Layer(NamedTuple):
    """The weights of one decoder layer; matrices as torch.nn.Linear keeps them, `(out_features, in_features)`."""

    input_norm: torch.Tensor
    qkv: torch.Tensor
    qkv_bias: torch.Tensor | None
    head_norms: torch.Tensor | None
    out: torch.Tensor
    out_bias: torch.Tensor | None
    mlp_norm: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor
    eps: float


@dataclass
class LastLayerState:
    """The current token inside the last layer, right after attention: what the controllers act on.

    `batch` are the rows that are still running, in the order of `LeanDecoder.rows`; so in `LastPart`.

    Attributes:
        hidden: `(batch, hidden_size)`, the residual stream that the layer was given.
        weights: `(batch, num_kv_heads, num_groups, length)`, attention weights.
        attended: `(batch, num_kv_heads, num_groups, head_dim)`, the weighted sum of the base values.
    """

    hidden: torch.Tensor
    weights: torch.Tensor
    attended: torch.Tensor


class LastPart(NamedTuple):
    """A pass from the last layer's attention to the logits, with what a backward pass needs of it.

    Attributes:
        logits: `(batch, vocab_size)`.
        residual: `(batch, hidden_size)`, after attention.
        gate: `(batch, intermediate_size)`, before its activation.
        up: `(batch, intermediate_size)`.
        final: `(batch, hidden_size)`, before the final norm.
    """

    logits: torch.Tensor
    residual: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor
    final: torch.Tensor


class LeanDecoder:
    """Decodes one batch token by token from a filled cache on, each row until it ends.

    The cache's entries move into buffers of its own at the first step; `release` hands them back. The running rows come
    first in the buffers: where one ends, the last of them takes its place.

    Attributes:
        rows: The rows that are running, in the order of the buffers.
        state: The current token inside the last layer; `None` before the first step.
        last_part: The current token's way from there to the logits, as `step` returned them.
        adjust: Given the state, returns what attention is to give instead of `attended`; `None`: unchanged.
    """

    def __init__(
        self,
        hf_model: PreTrainedModel,
        cache: DynamicCache,
        positions: NextPositions,
        attention_mask: torch.Tensor | None,
    ) -> None:
        """Collect the weights; see `lean_decoder` for what must hold.

        The weights of a layer's query, key and value projections become views of one tensor, and so do those of gate
        and up: the parameters keep their values, and memory holds them once.
        """
        text = _text_model(hf_model)
        attention = text.layers[0].self_attn
        self._rotary: nn.Module = text.rotary_emb
        self._rope: dict[str, Any] = dict(getattr(text.config, "rope_parameters", None) or {})
        self._embedding: torch.Tensor = text.embed_tokens.weight
        self._layers = [_read_layer(layer) for layer in text.layers]
        self._norm, self._norm_eps = text.norm.weight, float(text.norm.variance_epsilon)
        self._head: torch.Tensor = hf_model.lm_head.weight
        self._head_dim, self._scaling = int(attention.head_dim), float(attention.scaling)
        self._num_kv_heads = attention.k_proj.out_features // self._head_dim
        self._num_heads = attention.q_proj.out_features // self._head_dim
        self._cache = cache
        self._positions = positions
        self._length = cache.get_seq_length()
        self._capacity = self._length
        self._mask_bias = None if attention_mask is None else self._bias_of(attention_mask)
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._num_rows = int(positions.at(0).shape[-2])
        self.rows = list(range(self._num_rows))
        self._row_index: torch.Tensor | None = None
        self._swaps: list[tuple[int, int]] = []
        self._rotations: tuple[torch.Tensor, torch.Tensor] | None = None
        self.state: LastLayerState | None = None
        self.last_part: LastPart | None = None
        self.adjust: Callable[[LastLayerState], torch.Tensor] | None = None

    def step(self, token_ids: torch.Tensor, number: int, running: Sequence[int] | None = None) -> torch.Tensor:
        """Read the generated tokens of a step.

        Args:
            token_ids: `(batch,)`; those of ended rows are not read.
            number: The step's number, from 0.
            running: The rows to read, fewer and fewer; `None`: those of the step before.

        Returns:
            Logits `(batch, vocab_size)`; zeros for ended rows.
        """
        if self._length == self._capacity:
            self._grow()
        if running is not None and len(running) < len(self.rows):
            self._end_rows([row for row in self.rows if row not in running])
        token_ids, *rotation = (self.of_running(part) for part in (token_ids, *self._rotation(number)))
        self._length += 1
        hidden = embedding(token_ids, self._embedding)
        for layer, keys, values in zip(self._layers[:-1], self._keys, self._values, strict=False):
            _, attended = self._attend(layer, hidden, rotation, keys, values)
            hidden = self._project(layer, hidden, attended)
            gate, up = self._gate_up(layer, hidden)
            hidden = torch.addmm(hidden, silu(gate).mul_(up), layer.down.t())
        weights, attended = self._attend(self._layers[-1], hidden, rotation, self._keys[-1], self._values[-1])
        shape = (len(hidden), self._num_kv_heads, self._num_heads // self._num_kv_heads, -1)
        self.state = LastLayerState(hidden, weights.view(shape), attended.view(shape))
        steered = self.state.attended if self.adjust is None else self.adjust(self.state)
        self.last_part = self.run_last_part(steered)
        return self.to_batch(self.last_part.logits)

    def to_batch(self, logits: torch.Tensor) -> torch.Tensor:
        """Put logits of the running rows at their places in `(batch, vocab_size)`, with zeros for ended rows."""
        if self._row_index is None:
            return logits
        return logits.new_zeros((self._num_rows, logits.shape[-1])).index_copy_(0, self._row_index, logits)

    def of_running(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the running rows of `(batch, ...)`, in the order of `rows`."""
        return batch if self._row_index is None else batch.index_select(0, self._row_index)

    def run_last_part(self, attended: torch.Tensor) -> LastPart:
        """Go from the last layer's attention, `attended` as in `LastLayerState`, to the current token's logits."""
        assert self.state is not None  # a step was made
        layer = self._layers[-1]
        residual = self._project(layer, self.state.hidden, attended)
        gate, up = self._gate_up(layer, residual)
        final = torch.addmm(residual, silu(gate).mul_(up), layer.down.t())
        normed = rms_norm(final, self._norm.shape, self._norm, self._norm_eps)
        return LastPart(linear(normed, self._head), residual, gate, up, final)

    def attended_gradient(self, part: LastPart, logits_gradient: torch.Tensor) -> torch.Tensor:
        """Carry a gradient `(batch, vocab_size)` of the logits back to the last layer's attention.

        Returns:
            `(batch, num_kv_heads, num_groups, head_dim)`, float32 or better.
        """
        layer, dtype = self._layers[-1], self._head.dtype
        precise = precise_dtype(self._head)
        normed = (logits_gradient.to(dtype) @ self._head).to(precise)
        final = _rms_norm_gradient(normed, part.final, self._norm, self._norm_eps)
        activated = (final.to(dtype) @ layer.down).to(precise)
        gate, up = part.gate.to(precise), part.up.to(precise)
        sigmoid = gate.sigmoid()
        gate_gradient = activated * up * sigmoid * (1.0 + gate * (1.0 - sigmoid))
        gate_up = torch.cat([gate_gradient, activated * gate * sigmoid], dim=-1).to(dtype)
        normed = (gate_up @ layer.gate_up).to(precise)
        residual = final + _rms_norm_gradient(normed, part.residual, layer.mlp_norm, layer.eps)
        attended = (residual.to(dtype) @ layer.out).to(precise)
        return attended.view(len(attended), self._num_kv_heads, -1, self._head_dim)

    def release(self) -> None:
        """Let the cache hold all entries again, the generated tokens' included, with zeros where a row had ended."""
        for place, other in reversed(self._swaps):
            self._swap(place, other)
        self._swaps = []
        for layer, keys, values in zip(self._cache.layers, self._keys, self._values, strict=False):
            entries: Any = layer
            entries.keys, entries.values = keys[:, :, : self._length], values[:, :, : self._length]
        self._keys, self._values = [], []

    def _attend(
        self,
        layer: _Layer,
        hidden: torch.Tensor,
        rotation: Sequence[torch.Tensor],
        keys: torch.Tensor,
        values: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the token's key and value; return attention weights and the weighted sum, by batch times KV heads."""
        batch, at = len(hidden), self._length - 1
        normed = rms_norm(hidden, layer.input_norm.shape, layer.input_norm, layer.eps)
        heads = linear(normed, layer.qkv, layer.qkv_bias).view(batch, -1, self._head_dim)
        num_rotated = self._num_heads + self._num_kv_heads
        rotated = heads[:, :num_rotated]
        if layer.head_norms is not None:
            rotated = rms_norm(rotated, (self._head_dim,), None, layer.eps) * layer.head_norms
        rotated = torch.addcmul(rotated * rotation[0], rotated.roll(self._head_dim // 2, -1), rotation[1])
        keys[:batch].select(2, at).copy_(rotated[:, self._num_heads :])
        values[:batch].select(2, at).copy_(heads[:, num_rotated:])
        query = rotated[:, : self._num_heads].reshape(batch * self._num_kv_heads, -1, self._head_dim)
        scores = torch.bmm(query, self._entries(keys).transpose(1, 2)).to(precise_dtype(query)).mul_(self._scaling)
        if self._mask_bias is not None:
            scores.add_(self._mask_bias[: len(scores), :, : self._length])
        weights = scores.softmax(dim=-1)
        return weights, torch.bmm(weights.to(values.dtype), self._entries(values))

    def _entries(self, buffer: torch.Tensor) -> torch.Tensor:
        """Return what running rows have read, `(rows * num_kv_heads, length, head_dim)`, without copying."""
        num_heads = len(self.rows) * self._num_kv_heads
        return buffer.view(-1, self._capacity, self._head_dim)[:num_heads, : self._length]

    def _project(self, layer: _Layer, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        residual = torch.addmm(hidden, attended.reshape(len(hidden), -1), layer.out.t())
        return residual if layer.out_bias is None else residual + layer.out_bias

    def _gate_up(self, layer: _Layer, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        normed = rms_norm(residual, layer.mlp_norm.shape, layer.mlp_norm, layer.eps)
        gate, up = linear(normed, layer.gate_up).chunk(2, dim=-1)
        return gate, up

    def _rotation(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and signed sine `(batch, 1, head_dim)` of a step, made for many steps at a time."""
        index = number % _STEPS_AHEAD
        if index == 0 or self._rotations is None:
            steps = [self._positions.at(number - index + ahead) for ahead in range(_STEPS_AHEAD)]
            positions = torch.cat(steps, dim=-1)
            if "mrope_section" in self._rope:  # three axes, also where a prompt of text has one; a fourth counts tokens
                positions = positions[-3:] if positions.ndim == 3 else positions.expand(3, *positions.shape)
            cos, sin = self._rotary(self._embedding[:1], positions)
            cos, sin = (self._merged_axes(part).transpose(0, 1).unsqueeze(2) for part in (cos, sin))
            half = self._head_dim // 2
            # The other half of a rotated vector enters with a minus in its first half: rolled, times the signed sine.
            self._rotations = cos, torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
        return self._rotations[0][index], self._rotations[1][index]

    def _merged_axes(self, part: torch.Tensor) -> torch.Tensor:
        """Return `(batch, steps, head_dim)`; older releases leave three axes for attention to choose from."""
        if part.ndim == 3:
            return part
        sections = [size for _ in range(2) for size in self._rope["mrope_section"]]
        pieces = torch.split(part, sections, dim=-1)
        return torch.cat([piece[index % 3] for index, piece in enumerate(pieces)], dim=-1)

    def _end_rows(self, ended: Sequence[int]) -> None:
        for row in ended:
            place, last = self.rows.index(row), len(self.rows) - 1
            if place != last:
                self._swap(place, last)
                self._swaps.append((place, last))
            self.rows[place] = self.rows[last]
            self.rows.pop()
        self._row_index = torch.tensor(self.rows, device=self._embedding.device)

    def _swap(self, place: int, other: int) -> None:
        """Exchange two rows of the buffers."""
        buffers = [*self._keys, *self._values]
        if self._mask_bias is not None:
            buffers.append(self._mask_bias.view(self._num_rows, self._num_kv_heads, -1))
        for buffer in buffers:
            kept = buffer[place].clone()
            buffer[place] = buffer[other]
            buffer[other] = kept

    def _grow(self) -> None:
        """Move the entries into longer buffers, a layer at a time, so that only one is held twice."""
        layers: list[Any] = self._cache.layers
        if not self._keys:
            self._keys, self._values = [layer.keys for layer in layers], [layer.values for layer in layers]
        self._capacity += _STEPS_AHEAD
        for number, layer in enumerate(layers):
            self._keys[number] = self._longer(self._keys[number])
            self._values[number] = self._longer(self._values[number])
            layer.keys, layer.values = (part[number][:, :, : self._length] for part in (self._keys, self._values))
        if self._mask_bias is not None:
            self._mask_bias = torch.nn.functional.pad(self._mask_bias, (0, self._capacity - self._mask_bias.shape[-1]))

    def _longer(self, entries: torch.Tensor) -> torch.Tensor:
        buffer = entries.new_empty((*entries.shape[:2], self._capacity, entries.shape[-1]))
        buffer[:, :, : self._length] = entries[:, :, : self._length]
        buffer[:, :, self._length :] = 0.0
        return buffer

    def _bias_of(self, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return what is added to scores, `(batch * num_kv_heads, 1, length)`: minus infinity at padding."""
        dtype = precise_dtype(self._embedding)
        bias = torch.zeros(attention_mask.shape, dtype=dtype, device=attention_mask.device)
        bias.masked_fill_(attention_mask == 0, float("-inf"))
        return bias.repeat_interleave(self._num_kv_heads, dim=0).unsqueeze(1)


def lean_decoder(
    hf_model: PreTrainedModel, cache: DynamicCache, positions: NextPositions, attention_mask: torch.Tensor | None
) -> LeanDecoder | None:
    """Return a lean decoder for what `cache` holds, or `None` where transformers must run every step itself.

    It takes a plain model: one of `LEAN_MODELS` in evaluation, all weights of one float type on one device, linear
    layers of torch itself, full attention, a cache of plain layers, and no hook or replaced `forward` anywhere
    (offloading, adapters, quantization and tensor parallelism leave such traces).
    """
    is_plain = all(type(layer) in (DynamicLayer, LiteLayer) for layer in cache.layers)
    if not is_plain or not _is_lean(hf_model):
        return None
    return LeanDecoder(hf_model, cache, positions, attention_mask)


def _text_model(hf_model: Any) -> Any:
    return getattr(hf_model.model, "language_model", hf_model.model)


def _is_lean(hf_model: Any) -> bool:
    kind = type(hf_model)
    if kind.__name__ not in LEAN_MODELS or not kind.__module__.startswith("transformers.models."):
        return False
    text = _text_model(hf_model)
    modules = [hf_model, hf_model.model, hf_model.lm_head, *text.modules()]
    config = text.config
    has_plain_modules = (
        not hf_model.training
        and not any(_is_altered(module) for module in modules)
        and type(hf_model.lm_head) is nn.Linear
        and getattr(hf_model.lm_head, "bias", None) is None
        and type(text.embed_tokens) is nn.Embedding
        and all(_is_known_layer(layer) for layer in text.layers)
    )
    return (
        has_plain_modules
        and (getattr(hf_model, "_tp_size", None) or 1) == 1
        and config._attn_implementation in ("eager", "sdpa")
        and all(kind == "full_attention" for kind in getattr(config, "layer_types", None) or ())
        and getattr(text.rotary_emb, "rope_type", None) in ("default", "linear", "llama3", "yarn")
        and _have_one_home([*text.parameters(), hf_model.lm_head.weight])
    )


def _is_altered(module: nn.Module) -> bool:
    """Return whether a call of `module` does more than its class says; transformers' recording hooks only look on."""
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    changes = [hook for hook in hooks if not getattr(hook, "__module__", "").startswith("transformers.")]
    return bool(changes) or "forward" in vars(module)


def _is_known_layer(layer: Any) -> bool:
    attention, mlp = layer.self_attn, layer.mlp
    linears = [getattr(attention, f"{name}_proj") for name in "qkvo"]
    linears += [getattr(mlp, f"{name}_proj", None) for name in ("gate", "up", "down")]
    has_bias = {module.bias is not None for module in linears[:3] if type(module) is nn.Linear}
    return (
        all(type(module) is nn.Linear for module in linears)
        and len(has_bias) == 1
        and not any(module.bias is not None for module in linears[4:])
        and type(mlp.act_fn).__name__ in ("SiLUActivation", "SiLU")
        and all(type(norm).__name__.endswith("RMSNorm") for norm in _norms(layer))
    )


def _norms(layer: Any) -> list[Any]:
    norms = [layer.input_layernorm, layer.post_attention_layernorm]
    return norms + [norm for name in "qk" if (norm := getattr(layer.self_attn, f"{name}_norm", None)) is not None]


def _have_one_home(parameters: Sequence[torch.Tensor]) -> bool:
    homes = {(parameter.dtype, parameter.device) for parameter in parameters}
    is_real = not any(parameter.is_inference() or parameter.device.type == "meta" for parameter in parameters)
    return len(homes) == 1 and is_real and parameters[0].dtype.is_floating_point


def _read_layer(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    head_norms = None
    if getattr(attention, "q_norm", None) is not None:
        counts = [module.out_features // attention.head_dim for module in projections[:2]]
        weights = (attention.q_norm.weight, attention.k_norm.weight)
        head_norms = torch.cat([weight.expand(count, -1) for weight, count in zip(weights, counts, strict=True)])
    bias = None
    if projections[0].bias is not None:
        bias = torch.cat([module.bias for module in projections])
    return _Layer(
        input_norm=layer.input_layernorm.weight,
        qkv=_fuse([module.weight for module in projections]),
        qkv_bias=bias,
        head_norms=head_norms,
        out=attention.o_proj.weight,
        out_bias=attention.o_proj.bias,
        mlp_norm=layer.post_attention_layernorm.weight,
        gate_up=_fuse([mlp.gate_proj.weight, mlp.up_proj.weight]),
        down=mlp.down_proj.weight,
        eps=float(layer.input_layernorm.variance_epsilon),
    )


def _fuse(weights: Sequence[nn.Parameter]) -> torch.Tensor:
    """Return the matrices below each other as one, of which they are views from now on.

    Nothing is kept beside the parameters: whether they lie so already is read off their addresses, so that weights that
    were moved, converted or loaded anew are fused anew.
    """
    with _fusing:
        if not _lie_together(weights):
            fused = torch.cat([weight.detach() for weight in weights])
            for weight, part in zip(weights, torch.split(fused, [len(weight) for weight in weights]), strict=True):
                weight.data = part
        num_rows = sum(len(weight) for weight in weights)
        return weights[0].detach().as_strided((num_rows, weights[0].shape[1]), (weights[0].shape[1], 1))


def _lie_together(weights: Sequence[torch.Tensor]) -> bool:
    place = weights[0].data_ptr()
    for weight in weights:
        in_one = weight.untyped_storage().data_ptr() == weights[0].untyped_storage().data_ptr()
        if not (in_one and weight.is_contiguous() and weight.data_ptr() == place):
            return False
        place += weight.numel() * weight.element_size()
    return True


def _rms_norm_gradient(gradient: torch.Tensor, given: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Carry a gradient back through an RMS norm of `given` `(batch, hidden_size)`; float32 or better."""
    given = given.to(gradient.dtype)
    scale = torch.rsqrt(given.square().mean(dim=-1, keepdim=True) + eps)
    weighted = gradient * weight.to(gradient.dtype)
    along = (weighted * given).mean(dim=-1, keepdim=True)
    return scale * (weighted - given * scale.square() * along)
