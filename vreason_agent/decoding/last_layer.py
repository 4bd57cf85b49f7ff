"""The part of the model that depends on the controller: last decoder layer, final norm and head.

Finds that part in the text stacks it was written for and runs it again for the current token, on the input that the
step's own forward pass gave it. This module knows where transformers keeps these modules in its Qwen-VL classes; the
modules themselves (quantized, grouped heads, normed queries) are only called.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from vreason_agent.decoding.compat import cache_of
from vreason_agent.errors import GenerationError, quote

SUPPORTED_MODEL_TYPES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
SUPPORTED_ATTENTION = ("eager", "sdpa")
_LAYER_PARTS = ("self_attn", "mlp", "input_layernorm", "post_attention_layernorm")


class LastLayer:
    """Last decoder layer, final norm and head of a model, replayable for the token in hand.

    Use as a context manager around the steps: inside it, the input of every forward pass with `cache` is remembered.

    Attributes:
        layer: The last decoder layer.
        norm: The norm after it.
        head: The module from `(batch, length, hidden_size)` to `(batch, length, vocab_size)`.
    """

    def __init__(self, hf_model: PreTrainedModel, cache: DynamicCache) -> None:
        """Find the modules.

        Raises:
            GenerationError: not one of `SUPPORTED_MODEL_TYPES`, or in a state that cannot be steered: another attention
                implementation, weights offloaded, split over tensor-parallel ranks, in training mode or loaded under
                `torch.inference_mode`.
        """
        self.layer, self.norm, self.head = _find_modules(hf_model)
        _check_state(hf_model, (self.layer, self.norm, self.head))
        self._cache = cache
        self._inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        self._hook: torch.utils.hooks.RemovableHandle | None = None

    def __enter__(self) -> LastLayer:
        self._hook = self.layer.register_forward_pre_hook(self._remember, with_kwargs=True)
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
        hidden = self.layer(*args, **kwargs)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        logits: torch.Tensor = self.head(self.norm(hidden[:, -1:]))
        return logits[:, -1]

    def _remember(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> None:
        # Another thread may use the model at the same time: its passes carry another cache. A pass that began before
        # this hook was removed may still call it, and without keywords, because torch has forgotten that it takes them.
        if kwargs is not None and cache_of(kwargs) is self._cache:
            self._inputs = (args, kwargs)


def _find_modules(hf_model: PreTrainedModel) -> tuple[nn.Module, nn.Module, nn.Module]:
    model_type = getattr(hf_model.config, "model_type", None)
    text_model = getattr(getattr(hf_model, "model", None), "language_model", None)
    head, norm = getattr(hf_model, "lm_head", None), getattr(text_model, "norm", None)
    layers = getattr(text_model, "layers", None)
    layer = layers[-1] if isinstance(layers, nn.ModuleList) and len(layers) else None
    has_parts = layer is not None and all(hasattr(layer, part) for part in _LAYER_PARTS)
    if model_type not in SUPPORTED_MODEL_TYPES or not has_parts or head is None or norm is None:
        raise GenerationError(
            f"V-Reason cannot steer {type(hf_model).__name__} (model_type {quote(model_type)}): it knows the last "
            "layer of "
            f"{', '.join(SUPPORTED_MODEL_TYPES)} only; decode with --schedule off (VReasonConfig(schedule='off'))"
        )
    assert layer is not None  # narrowed by has_parts
    return layer, norm, head


def _check_state(hf_model: PreTrainedModel, modules: tuple[nn.Module, ...]) -> None:
    attention = hf_model.config.get_text_config(decoder=True)._attn_implementation
    parameters = [parameter for module in modules for parameter in module.parameters()]
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
