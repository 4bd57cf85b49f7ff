"""Folders that are no plain weights: PEFT adapters and quantized checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.published import config_of, write_folder
from vreason_agent.errors import DependencyError, ModelLoadError
from vreason_agent.model import VideoLanguageModel, load_model
from vreason_agent.model.check import check_model
from vreason_agent.model.folder import open_folder

Q_PROJ = "model.language_model.layers.{}.self_attn.q_proj"
RANK, ALPHA = 2, 6


def load(folder: Path) -> VideoLanguageModel:
    return load_model(folder, device="cpu")


def write_adapter(folder: Path, base: Path, *, names: str = Q_PROJ, **changes: Any) -> dict[str, torch.Tensor]:
    """Write a LoRA adapter of the query projections of both layers, as peft saves it; returns its tensors."""
    folder.mkdir(exist_ok=True)
    config = {"peft_type": "LORA", "base_model_name_or_path": str(base), "r": RANK, "lora_alpha": ALPHA}
    config |= {"target_modules": ["q_proj"], "task_type": "CAUSAL_LM", **changes}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    generator = torch.Generator().manual_seed(3)
    shapes = {"A": (RANK, 32), "B": (32, RANK)}
    tensors = {
        f"base_model.model.{names.format(layer)}.lora_{part}.weight": torch.randn(shape, generator=generator)
        for layer in range(2)
        for part, shape in shapes.items()
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    return tensors


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("base"))


@pytest.mark.filterwarnings("ignore")  # of peft, about names it uses itself
@pytest.mark.parametrize("names", [Q_PROJ, "model.layers.{}.self_attn.q_proj"], ids=["new names", "old names"])
def test_an_adapter_is_merged_into_the_model_that_it_names(names: str, base: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    tensors = write_adapter(tmp_path / "adapter", base, names=names)
    plain, merged = load(base).hf_model, load(tmp_path / "adapter").hf_model
    assert type(merged) is type(plain)
    weights = dict(plain.named_parameters())
    for name, weight in merged.named_parameters():
        wanted = weights[name]
        if name.endswith("q_proj.weight"):
            layer = name.split(".layers.")[1].split(".")[0]
            low, high = (tensors[f"base_model.model.{names.format(layer)}.lora_{part}.weight"] for part in "AB")
            wanted = wanted + ALPHA / RANK * high @ low
        torch.testing.assert_close(weight, wanted)
        assert not weight.requires_grad


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": "model.decoder.{}.q_proj"}, "tensors of the adapter .* have other names.*base_model_name_or_path"),
        ({"r": 4}, "does not fit its model.*base_model_name_or_path"),
    ],
)
def test_an_adapter_of_another_model_is_refused(
    changes: dict[str, Any], message: str, base: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    write_adapter(tmp_path, base, **changes)
    with pytest.raises(ModelLoadError, match=message):
        load(tmp_path)


def _no_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def _beside_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def _edit(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return edit


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_no_weights, "'adapter_model.bin' is pickled, which is never loaded.*save_pretrained"),
        (_beside_weights, "beside the weights of a model.*into a folder of their own"),
        (_edit(base_model_name_or_path=None), 'does not name its model.*"base_model_name_or_path"'),
        (_edit(base_model_name_or_path="/nowhere/m"), "for another model: no model folder.*Or correct base_model"),
        (_edit(base_model_name_or_path=None, peft_type="PREFIX_TUNING"), "PREFIX_TUNING, which cannot be merged"),
    ],
)
def test_an_adapter_folder_that_cannot_be_used_says_why(
    damage: Callable[[Path], None], message: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vreason_agent.model.peft_adapter.find_spec", lambda name: name)
    write_adapter(tmp_path, base)
    damage(tmp_path)
    with pytest.raises(ModelLoadError, match=message):
        open_folder(tmp_path, source="m")


def test_an_adapter_of_an_adapter_is_refused(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vreason_agent.model.peft_adapter.find_spec", lambda name: name)
    write_adapter(tmp_path, tmp_path)
    with pytest.raises(ModelLoadError, match=r"which is an adapter too.*merge_and_unload"):
        open_folder(tmp_path, source="m")


def test_without_peft_an_adapter_names_the_command(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vreason_agent.model.peft_adapter.find_spec", lambda name: None)
    write_adapter(tmp_path, base)
    with pytest.raises(DependencyError, match=r"pip install 'vreason-agent\[peft\]'"):
        load(tmp_path)


def quantize(folder: Path, part: str | None = None, **settings: Any) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text())
    (config[part] if part else config)["quantization_config"] = settings
    file.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("part", "method", "packages"),
    [
        (None, "awq", "accelerate gptqmodel"),
        (None, "gptq", "accelerate gptqmodel optimum"),
        ("text_config", "bitsandbytes", "accelerate bitsandbytes"),
        (None, "compressed-tensors", "accelerate compressed-tensors"),
        (None, "fp8", "accelerate"),
    ],
)
def test_quantized_weights_name_the_packages_that_read_them(
    part: str | None, method: str, packages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path)
    quantize(folder, part, quant_method=method)
    monkeypatch.setattr("vreason_agent.model.quantized.find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=rf"quantized \({method}\).* Run: pip install {packages}$"):
        open_folder(folder, source="m")


@pytest.mark.filterwarnings("ignore")
def test_fp8_weights_are_expanded_on_the_cpu_and_steered(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    folder = write_folder(tmp_path)
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if ".self_attn.q_proj.weight" in name]:
        blocks = weights[name].reshape(2, 16, 2, 16)
        scale = blocks.abs().amax((1, 3)) / 448
        packed = (blocks / scale[:, None, :, None]).reshape(32, 32).to(torch.float8_e4m3fn)
        weights |= {name: packed, name.replace(".weight", ".weight_scale_inv"): scale}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    skipped = ["visual", "lm_head", "k_proj", "v_proj", "o_proj", "mlp"]
    quantize(folder, quant_method="fp8", weight_block_size=[16, 16], modules_to_not_convert=skipped)
    model = load(folder)
    found, wanted = (one.hf_model.get_parameter(f"{Q_PROJ.format(1)}.weight") for one in (model, load(base)))
    assert found.dtype == torch.float32
    assert 0 < (found - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert all(result.passed for result in check_model(model))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bits", [4, 8])
def test_weights_of_bitsandbytes_are_loaded_and_steered(bits: int, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    transformers = pytest.importorskip("transformers")
    plain = config_of("qwen2_5_vl")
    plain["text_config"] |= {"hidden_size": 64, "intermediate_size": 64, "num_key_value_heads": 4}  # in blocks of 64
    plain["text_config"]["rope_parameters"]["mrope_section"] = [2, 2, 4]
    plain["vision_config"]["out_hidden_size"] = 64
    folder = write_folder(tmp_path, config=plain)
    settings = {f"load_in_{bits}bit": True, "llm_int8_skip_modules": ["model.visual", "lm_head"]}
    config = transformers.BitsAndBytesConfig(**settings, bnb_4bit_compute_dtype=torch.float32)
    model_class = transformers.Qwen2_5_VLForConditionalGeneration
    packed = model_class.from_pretrained(folder, quantization_config=config, device_map={"": "cpu"})
    (folder / "model.safetensors").unlink()
    packed.save_pretrained(folder)
    model = load(folder)
    assert model.quantization == "bitsandbytes"
    assert "bit" in type(model.hf_model.get_submodule(Q_PROJ.format(1))).__name__
    results = list(check_model(model))
    assert len(results) == 5
    assert [result for result in results if not result.passed] == []
