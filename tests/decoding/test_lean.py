"""The lean step equals transformers' forward pass, and its update in closed form equals autograd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import DynamicCache, GenerationConfig, LogitsProcessorList, PreTrainedModel

from tests.decoding.conftest import load_named_model
from tests.decoding.forcing import EveryThirdIsForced
from tests.decoding.tiny_models import ROUNDING_NATS, make_batch, make_model, make_prompt, to_float64
from vreason_agent.decoding import DecodeResult, VReasonConfig, decode
from vreason_agent.decoding.compat import cache_argument
from vreason_agent.decoding.entropy import distribution
from vreason_agent.decoding.lean import LastLayerState, LastPart, LeanDecoder, lean_decoder
from vreason_agent.decoding.lean_steering import _entropy_gradient
from vreason_agent.decoding.prompt import NextPositions

_SIZES: dict[str, Any] = {
    "vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "head_dim": 8, "bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "tie_word_embeddings": False,
}  # fmt: skip
TEXT_MODELS: dict[str, dict[str, Any]] = {
    "Qwen2": {"num_key_value_heads": 2},
    "Qwen3": {"num_key_value_heads": 1, "attention_bias": True},
    "Llama": {"num_key_value_heads": 4, "attention_bias": True},
    "Mistral": {"num_key_value_heads": 2, "sliding_window": None},
}


def make_text_model(name: str) -> Any:
    """Make a random float64 text model whose norms and biases are random too."""
    torch.manual_seed(3)
    config = getattr(transformers, f"{name}Config")(**_SIZES, **TEXT_MODELS[name])
    model = getattr(transformers, f"{name}ForCausalLM")._from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return to_float64(model)


def read(model: Any, ids: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[DynamicCache, LeanDecoder]:
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    positions = torch.arange(ids.shape[1]).expand(ids.shape)
    with torch.no_grad():
        model(input_ids=ids, attention_mask=mask, position_ids=positions, **cache_argument(cache))
    lean = lean_decoder(model, cache, NextPositions(positions), mask)
    assert lean is not None
    return cache, lean


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_a_step_equals_transformers_forward_pass(name: str) -> None:
    model = make_text_model(name)
    ids = torch.randint(0, 90, (2, 140), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, :3] = 0
    cache, lean = read(model, ids[:, :7], mask[:, :7])
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask, position_ids=torch.arange(140).expand(2, -1)).logits
        for number in range(133):  # buffers and rotations are renewed on the way
            logits = lean.step(ids[:, 7 + number], number)
            assert torch.allclose(logits, expected[:, 7 + number], rtol=0.0, atol=1e-10)
    lean.release()
    assert cache.get_seq_length() == 140


@pytest.mark.parametrize("name", TEXT_MODELS)
def test_the_closed_form_gradient_equals_autograd(name: str) -> None:
    model = make_text_model(name)
    _, lean = read(model, torch.arange(12).expand(2, -1))
    delta = torch.zeros(2, lean._num_kv_heads, 5, 8, dtype=torch.float64, requires_grad=True)

    def steer(state: LastLayerState) -> torch.Tensor:
        return state.attended + torch.matmul(state.weights[..., 2:7], delta)

    lean.adjust = steer
    with torch.no_grad():  # the lower layers
        lean.step(torch.tensor([40, 41]), 0)
    state = lean.state
    assert state is not None
    raw = distribution(lean.run_last_part(steer(state)).logits)
    (expected,) = torch.autograd.grad(raw.entropy.sum(), [delta])
    with torch.no_grad():
        part = lean.run_last_part(state.attended)
        attended = lean.attended_gradient(part, _entropy_gradient(distribution(part.logits)))
        gradient = state.weights[..., 2:7].transpose(2, 3) @ attended
    assert (gradient - expected).norm() <= 1e-6 * expected.norm()
    assert expected.norm() > 1e-8


def run_both(monkeypatch: pytest.MonkeyPatch, model: PreTrainedModel, **arguments: Any) -> list[DecodeResult]:
    """Decode by the lean step, then by transformers' own modules."""
    lean = decode(model, **arguments)
    with monkeypatch.context() as patch:
        patch.setattr("vreason_agent.decoding.loop.lean_decoder", lambda *_: None)
        return [lean, decode(model, **arguments)]


CONFIGS: dict[str, dict[str, Any]] = {
    **{schedule: {"schedule": schedule} for schedule in ("off", "switching", "alternating", "minimize", "random")},
    "lite": {"lite": True},
    "off, lite": {"schedule": "off", "lite": True},
    "current": {"apply_to": "current", "num_optim_steps": 2, "record_unsteered_entropy": True},
    "every token": {"update_interval": 1, "learning_rate": 0.2, "record_loss_after": True},
}


@pytest.mark.parametrize("fields", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_batch_equals_the_reference_path(
    monkeypatch: pytest.MonkeyPatch, varied_model: PreTrainedModel, greedy: GenerationConfig, fields: dict[str, Any]
) -> None:
    prompts = [make_prompt(varied_model, num_pairs=4, num_text=6), make_prompt(varied_model, seed=1, num_pairs=4)]
    batch = make_batch(
        varied_model, prompts if fields.get("lite") else [*prompts, make_prompt(varied_model, num_pairs=0)]
    )
    forcing = LogitsProcessorList([EveryThirdIsForced(batch.length, 40)])
    lean, reference = run_both(
        monkeypatch, varied_model, **batch.arguments, config=VReasonConfig(**fields), generation_config=greedy,
        logits_processor=forcing,
    )  # fmt: skip
    assert lean.sequences == reference.sequences
    for own, theirs in zip(lean.traces, reference.traces, strict=True):
        assert own.entropy == pytest.approx(theirs.entropy, abs=ROUNDING_NATS)
        assert own.switch == theirs.switch
        norms = [[norm or 0.0 for norm in trace.controller_norm] for trace in (own, theirs)]
        assert norms[0] == pytest.approx(norms[1], rel=1e-6)


@pytest.mark.parametrize("name", ["off", "current", "lite"])
def test_rows_that_end_leave_the_batch(monkeypatch: pytest.MonkeyPatch, greedy: GenerationConfig, name: str) -> None:
    fields = CONFIGS[name]
    model, lengths = load_named_model("qwen2_5_vl-sharp"), [3, 20, 1, 14]
    batch = make_batch(model, [make_prompt(model, seed=i, num_pairs=4, num_text=5 + i) for i in range(4)])
    monkeypatch.setattr("vreason_agent.decoding.lean._STEPS_AHEAD", 8)  # buffers and rotations are renewed on the way
    num_run: list[int] = []
    run_last_part = LeanDecoder.run_last_part

    def counted(self: LeanDecoder, attended: torch.Tensor) -> LastPart:
        num_run.append(len(attended))
        return run_last_part(self, attended)

    monkeypatch.setattr(LeanDecoder, "run_last_part", counted)
    lean, reference = run_both(
        monkeypatch, model, **batch.arguments, config=VReasonConfig(**fields), generation_config=greedy,
        on_token=lambda record: record.step + 1 == lengths[record.row],
    )  # fmt: skip
    assert (num_run[0], num_run[-1]) == (3, 1)  # the third row ended before any step
    assert [len(row) for row in lean.sequences] == lengths
    assert lean.sequences == reference.sequences
    for row, (own, theirs) in enumerate(zip(lean.traces, reference.traces, strict=True)):
        assert own.entropy == pytest.approx(theirs.entropy, abs=ROUNDING_NATS)
        num_read = lean.cache.get_seq_length() - max(lengths) + lengths[row]
        layers: Any = zip(lean.cache.layers, reference.cache.layers, strict=True)
        for layer, other in layers:
            for entries, expected in ((layer.keys, other.keys), (layer.values, other.values)):
                assert torch.allclose(entries[row, :, :num_read], expected[row, :, :num_read], rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl", "qwen2_vl"])
def test_the_families_decode_lean(family: str) -> None:
    model: Any = make_model(family)
    cache = DynamicCache(config=model.config.get_text_config(decoder=True))
    assert lean_decoder(model, cache, NextPositions(torch.zeros(1, 1)), None) is not None


@pytest.mark.parametrize("what", ["hook", "forward", "training", "dtype", "bias", "subclass"])
def test_an_altered_model_is_left_to_transformers(what: str) -> None:
    model: Any = make_text_model("Qwen2")
    layer = model.model.layers[1]
    if what == "hook":
        layer.mlp.register_forward_hook(lambda module, inputs, output: 2 * output)
    elif what == "forward":
        layer.mlp.forward = layer.mlp.forward
    elif what == "training":
        model.train()
    elif what == "dtype":
        layer.mlp.float()
    elif what == "bias":
        layer.mlp.down_proj.bias = torch.nn.Parameter(torch.ones(32, dtype=torch.float64))
    else:
        layer.self_attn.q_proj.__class__ = type("Adapted", (torch.nn.Linear,), {})
    assert lean_decoder(model, DynamicCache(), NextPositions(torch.zeros(1, 1)), None) is None


def test_fused_weights_are_held_once_and_still_saved_and_moved(tmp_path: Path) -> None:
    model = make_text_model("Qwen2")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ids = torch.arange(12).unsqueeze(0)
    read(model, ids)
    attention, mlp = model.model.layers[0].self_attn, model.model.layers[0].mlp
    for parts in ([attention.q_proj, attention.k_proj, attention.v_proj], [mlp.gate_proj, mlp.up_proj]):
        stores = {part.weight.untyped_storage().data_ptr() for part in parts}
        assert len(stores) == 1
        assert parts[0].weight.untyped_storage().nbytes() == sum(part.weight.nbytes for part in parts)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in again.state_dict().items())
    with torch.no_grad():  # a weight that is replaced is seen
        mlp.up_proj.weight = torch.nn.Parameter(torch.zeros_like(mlp.up_proj.weight))
        _, lean = read(model, ids)
        assert not lean._layers[0].gate_up[len(mlp.gate_proj.weight) :].any()
