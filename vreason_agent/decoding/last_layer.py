"""The part of the model that depends on the controller: the last attention layer and all that follows it.

`SteeringPoint` is what V-Reason must know of an architecture: which layer attends last, where its values come from, and
what follows it. `find_steering_point` finds these in the usual decoder; a model family gives its own where it differs.
`LastLayer` runs that part again for the current token, on the input that the step's own forward pass gave it. The
modules themselves (quantized, grouped heads, normed queries, gated outputs) are only called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn

import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from vreason_agent.decoding.compat import cache_of
from vreason_agent.errors import GenerationError, quote

__all__ = ["FindPoint", "LastLayer", "SteeringPoint", "check_state", "find_steering_point", "refuse_steering"]

SUPPORTED_ATTENTION = ("eager", "sdpa")
_DECODERS = ("language_model", "text_model")
"""Where a video-language model of transformers keeps its text decoder, below `model`."""

Steer = Callable[[torch.Tensor], torch.Tensor]
"""Values `(batch, num_kv_heads, length, head_dim)` to the same plus each row's controller at its video tokens."""


@dataclass(frozen=True)
class SteeringPoint:
    """Where V-Reason acts in a model.

    Attributes:
        layer: The last decoder layer, which has to attend to the whole context; it is run again for the token in hand.
        logits: What follows it: from the layer's output at one position, `(batch, 1, hidden_size)`, to logits
            `(batch, 1, vocab_size)`.
        cache_index: The layer of the cache that holds the keys and values which `layer` attends to.
        replace_values: For a `layer` that is handed the values of another one: from the keyword arguments of its
            forward pass to those with steered values. `None` where it reads them from `cache_index` itself.
    """

    layer: nn.Module
    logits: Callable[[torch.Tensor], torch.Tensor]
    cache_index: int = -1
    replace_values: Callable[[dict[str, Any], Steer], dict[str, Any]] | None = None


FindPoint = Callable[[PreTrainedModel], SteeringPoint]
"""From a model to where it is steered; raises `GenerationError` where it cannot be."""


def find_steering_point(hf_model: PreTrainedModel) -> SteeringPoint:
    """Find the steering point of a decoder whose last layer has its own values and is followed by a norm and the head.

    Raises:
        GenerationError: the model's last layer does not attend to the whole context, or the model is built otherwise.
    """
    model = getattr(hf_model, "model", None)
    decoder: Any = next((found for name in _DECODERS if (found := getattr(model, name, None)) is not None), model)
    layers, norm, head = (getattr(owner, name, None) for owner, name in
                          ((decoder, "layers"), (decoder, "norm"), (hf_model, "lm_head")))  # fmt: skip
    if hf_model.config.is_encoder_decoder:
        refuse_steering(hf_model, "it is an encoder-decoder, whose decoder has no video tokens")
    kinds = getattr(hf_model.config.get_text_config(decoder=True), "layer_types", None) or ["full_attention"]
    if kinds[-1] != "full_attention":
        refuse_steering(hf_model, f"its last layer is of the kind {quote(kinds[-1])} and not full attention")
    layer = layers[-1] if isinstance(layers, nn.ModuleList) and len(layers) else None
    if layer is None or norm is None or head is None or not hasattr(layer, "self_attn"):
        refuse_steering(hf_model, "it is not built as layers with self-attention, a norm and a head")
    is_capped = getattr(hf_model.config.get_text_config(decoder=True), "final_logit_softcapping", None) is not None
    if is_capped or getattr(layer.self_attn, "is_kv_shared_layer", False):
        refuse_steering(hf_model, "its last layer shares values or its logits are capped; pass its family's find_point")
    return SteeringPoint(layer, lambda hidden: head(norm(hidden)))


def refuse_steering(hf_model: PreTrainedModel, reason: str) -> NoReturn:
    """Raise the error that says why a model cannot be steered, and that it can be decoded without.

    Raises:
        GenerationError: always.
    """
    raise GenerationError(
        f"V-Reason cannot steer {type(hf_model).__name__} (model_type {quote(hf_model.config.model_type)}): {reason}; "
        "decode with --schedule off (VReasonConfig(schedule='off'))"
    )


class LastLayer:
    """The part of a model behind its steering point, replayable for the token in hand.

    Use as a context manager around the steps: inside it, the input of every forward pass with `cache` is remembered,
    and a layer that is handed its values gets the steered ones.
    """

    def __init__(self, point: SteeringPoint, cache: DynamicCache, steer: Steer) -> None:
        """Keep the parts.

        Args:
            point: Where the model is steered.
            cache: Passes with another cache (of another thread) are left alone.
            steer: Makes the values that attention is to see.
        """
        self._point, self._cache, self._steer = point, cache, steer
        self._inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._hook: torch.utils.hooks.RemovableHandle | None = None

    def __enter__(self) -> LastLayer:
        self._hook = self._point.layer.register_forward_pre_hook(self._before, with_kwargs=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._hook = self._inputs = None

    def logits(self) -> torch.Tensor:
        """Run the part again on the last remembered input; returns logits `(batch, vocab_size)`.

        What attention sees as values is the cache layer's affair (see `SteeredLayer.replaying`).
        """
        if self._inputs is None:
            raise GenerationError("no forward pass to replay yet; step the model with this cache first")
        args, kwargs = self._inputs
        hidden = self._point.layer(*args, **kwargs)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return self._point.logits(hidden[:, -1:])[:, -1]

    def _before(
        self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        # Another thread may use the model at the same time: its passes carry another cache. A pass that began before
        # this hook was removed may still call it, and without keywords, because torch has forgotten that it takes them.
        if kwargs is None or cache_of(kwargs) is not self._cache:
            return None
        self._inputs = (args, kwargs)
        if self._point.replace_values is None:
            return None
        return args, self._point.replace_values(kwargs, self._steer)


def check_state(hf_model: PreTrainedModel, point: SteeringPoint) -> None:
    """Check that the modules behind the steering point can carry a gradient.

    Raises:
        GenerationError: another attention implementation, weights offloaded, split over tensor-parallel ranks, in
            training mode or loaded under `torch.inference_mode`.
    """
    attention = hf_model.config.get_text_config(decoder=True)._attn_implementation
    head: nn.Module | None = getattr(hf_model, "lm_head", None)
    parameters = [
        parameter for module in (point.layer, head) if module is not None for parameter in module.parameters()
    ]
    trouble = None
    if attention not in SUPPORTED_ATTENTION:
        trouble = f"attention {quote(attention)} is not supported; load it with attn_implementation='sdpa'"
    elif any(parameter.device.type == "meta" for parameter in parameters):
        trouble = "its last layer or head is offloaded; place them on a device in device_map"
    elif (getattr(hf_model, "_tp_size", None) or 1) > 1:
        trouble = "it is split over tensor-parallel ranks; load it without tp_plan"
    elif hf_model.training:
        trouble = "it is in training mode; call hf_model.eval()"
    elif any(parameter.is_inference() for parameter in parameters):
        trouble = "its weights were made under torch.inference_mode; load it outside of that block"
    if trouble:
        raise GenerationError(f"V-Reason cannot steer this {type(hf_model).__name__}: {trouble}")
