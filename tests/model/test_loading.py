from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.model.conftest import ask, make_video
from tests.model.published import CHAT_TEMPLATE, config_of, flat_config_of, write_folder
from vreason_agent.errors import ConfigError, DependencyError, ModelLoadError
from vreason_agent.model import load_model
from vreason_agent.model.loading import build_model
from vreason_agent.model.placement import available_bytes, check_memory, choose_device, choose_dtype, weight_bytes

pytestmark = pytest.mark.filterwarnings("ignore::vreason_agent.model.engine.VideoTimeWarning")
CPU = torch.device("cpu")


def load(folder: Path, **settings: Any) -> Any:
    return build_model(folder, name=str(folder), device="cpu", **settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model")


@pytest.mark.parametrize(("names", "num_shards"), [("old", 3), ("new", 1), ("processor", 1)])
def test_old_and_new_file_names_and_shards_load_the_same_model(
    names: Any, num_shards: int, tmp_path: Path, folders: dict[str, Path]
) -> None:
    folder = write_folder(tmp_path / "m", template=names, preprocessor=names, num_shards=num_shards)
    model = load(folder)
    assert model.generate([ask()])[0].token_ids == load(folders["qwen2_5_vl"]).generate([ask()])[0].token_ids
    assert model.tokenizer.chat_template == CHAT_TEMPLATE


LIMITS = {"min_pixels": 4 * 28**2, "max_pixels": 8 * 28**2}


@pytest.mark.parametrize(
    ("family", "rope_type", "limits"),
    [
        ("qwen2_vl", {"type": "mrope"}, LIMITS),
        ("qwen2_5_vl", {"type": "default"}, {"size": LIMITS, "min_pixels": None, "max_pixels": None}),
        ("qwen2_5_vl", {"type": "mrope", "rope_type": "default"}, LIMITS),
    ],
)
def test_the_flat_config_of_released_folders_loads_the_same_model_as_the_nested_one(
    family: str, rope_type: dict[str, str], limits: dict[str, Any], tmp_path: Path, folders: dict[str, Path]
) -> None:
    rope = {**rope_type, "mrope_section": [1, 1, 2]}
    folder = write_folder(tmp_path / "m", family, config=flat_config_of(family, rope_scaling=rope))
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    del processor["size"]
    (folder / "preprocessor_config.json").write_text(json.dumps({**processor, **limits}))
    flat, nested = load(folder), load(folders[family])
    assert flat.dtype == torch.float32
    assert flat.context_length == nested.context_length == 1024
    assert flat.stop_token_ids == nested.stop_token_ids
    assert (flat.encoder.video, flat.encoder.image) == (nested.encoder.video, nested.encoder.image)
    request = ask(video=make_video(8), max_new_tokens=16)
    [answer], [expected] = flat.generate([request]), nested.generate([request])
    assert answer.token_ids == expected.token_ids
    assert answer.trace.entropy == expected.trace.entropy


def test_the_flat_configs_sections_and_base_reach_the_model(tmp_path: Path, folders: dict[str, Path]) -> None:
    expected = load(folders["qwen2_5_vl"]).generate([ask(video=make_video(8))])[0].trace.entropy
    others: list[dict[str, Any]] = [
        {"rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}},
        {"rope_theta": 10.0},
    ]
    for number, changes in enumerate(others):
        config = flat_config_of("qwen2_5_vl", **changes)
        model = load(write_folder(tmp_path / str(number), config=config))
        assert model.generate([ask(video=make_video(8))])[0].trace.entropy != expected


def test_a_tied_head_is_the_embedding(folder: Path) -> None:
    assert not any("lm_head" in name for name in load_file(folder / "model.safetensors"))
    hf_model = load(folder).hf_model
    assert hf_model.lm_head.weight is hf_model.get_input_embeddings().weight


def test_an_untied_head_is_its_own(tmp_path: Path) -> None:
    config = config_of("qwen2_5_vl", tie_word_embeddings=False)
    config["text_config"]["tie_word_embeddings"] = False
    hf_model = load(write_folder(tmp_path / "m", config=config)).hf_model
    assert not torch.equal(hf_model.lm_head.weight, hf_model.get_input_embeddings().weight)


def test_a_loaded_model_is_frozen_in_evaluation_mode(folder: Path) -> None:
    hf_model = load(folder).hf_model
    assert not hf_model.training
    assert not any(parameter.requires_grad for parameter in hf_model.parameters())


def test_attention_implementations_agree(folder: Path) -> None:
    models = [load(folder, attn_implementation=name) for name in ("sdpa", "eager", None)]
    kinds = [model.hf_model.config._attn_implementation for model in models]
    assert kinds == ["sdpa", "eager", "sdpa"]
    tokens = [[a.token_ids for a in model.generate([ask(), ask("And now?", schedule="switching")])] for model in models]
    assert tokens[0] == tokens[1] == tokens[2]


def test_precision_can_be_chosen(folder: Path) -> None:
    assert load(folder).hf_model.dtype == torch.float32
    model = load(folder, dtype="bfloat16")
    assert model.hf_model.dtype == model.dtype == torch.bfloat16
    assert model.generate([ask(schedule="switching")])[0].token_ids


def test_other_attention_is_refused_with_the_choices(folder: Path) -> None:
    with pytest.raises(ConfigError, match="sdpa and eager only; pass one of them"):
        load(folder, attn_implementation="flash_attention_2")


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [({"device_map": "auto"}, "pass device='cuda:0'"), ({"quantization": "4bit"}, "pass dtype='bfloat16'")],
)
def test_what_steering_was_never_run_with_is_refused(folder: Path, setting: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        load_model(folder, **setting)


def test_a_folder_without_config_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelLoadError, match=r"no config\.json \(found: notes\.txt\).*hf download REPO --local-dir"):
        load(tmp_path)


def test_a_folder_without_preprocessor_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", preprocessor=None)
    with pytest.raises(ModelLoadError, match=r"no preprocessor_config\.json.*: hf download REPO --include"):
        load(folder)


def test_a_folder_without_template_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", template=None)
    with pytest.raises(ModelLoadError, match=r"no chat template .* choose an -Instruct model"):
        load(folder)


def test_a_template_without_video_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", template=None)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m['role'] }}{% endfor %}")
    with pytest.raises(ModelLoadError, match=r"has no place for a video .* Use a model whose chat_template"):
        load(folder)


def test_a_tokenizer_without_video_token_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["video_token_id"]
    (folder / "config.json").write_text(json.dumps({**config, "video_token_id": 5}))
    with pytest.raises(ModelLoadError, match=r"no special token for video: .* Choose a video-language model"):
        load(folder)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", num_shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelLoadError, match=r"lacks 1 of 3 weight files, .*model-00002.*Complete the download"):
        load(folder)


def test_pickled_weights_are_never_loaded(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match="Download the safetensors files"):
        load(folder)
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(
        ModelLoadError, match=r"'pytorch_model\.bin', and pickled weights are never loaded.*use_safetensors=False"
    ):
        load(folder)


def test_missing_tensors_are_not_filled_with_random_numbers(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state.pop("model.layers.1.mlp.up_proj.weight")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"lack 1 tensors .*Check that config\.json and the weights belong"):
        load(folder)


def test_a_broken_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        ModelLoadError, match=r"tokenizer of model .* from tokenizer\.json and .* Download the folder again"
    ):
        load(folder)


def test_a_transformers_without_the_architecture_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vreason_agent.model.families.Qwen25VL.architecture", "FutureVLModel")
    with pytest.raises(DependencyError, match=rf"transformers {transformers.__version__} has no FutureVLModel.*-U"):
        load(folder)


def test_a_folders_code_is_never_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    kind = transformers.Qwen2_5_VLForConditionalGeneration
    original = kind.from_pretrained

    def spy(*args: Any, **kwargs: Any) -> Any:
        seen.update(kwargs)
        return original(*args, **kwargs)

    monkeypatch.setattr(kind, "from_pretrained", spy)
    load(folder)
    assert seen["trust_remote_code"] is False
    assert seen["use_safetensors"] is True
    assert seen["local_files_only"] is True


def test_a_model_too_large_for_the_memory_is_refused_before_loading(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vreason_agent.model.placement.available_bytes", lambda device: 10_000)
    monkeypatch.setattr("vreason_agent.model.loading._load_weights", lambda *_: pytest.fail("loaded"))
    with pytest.raises(ModelLoadError, match="pass --dtype bfloat16 to halve it, or choose a smaller model"):
        load(folder)


def test_the_memory_estimate_follows_parameters_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vreason_agent.model.placement.available_bytes", lambda device: 5_000_000_000)
    sizes: Any = SimpleNamespace(num_parameters=2_000_000_000, num_bytes=4_600_000_000, quantization=None)
    check_memory(sizes, CPU, torch.bfloat16, source="m")
    with pytest.raises(ModelLoadError, match=r"2\.00 billion parameters and needs about 9\.2 GB as float32 on cpu"):
        check_memory(sizes, CPU, torch.float32, source="m")
    stored: Any = SimpleNamespace(**{**vars(sizes), "quantization": "fp8"})
    assert weight_bytes(stored, torch.device("cuda"), torch.bfloat16) == 4_600_000_000
    assert weight_bytes(stored, CPU, torch.bfloat16) == 4_000_000_000
    monkeypatch.setattr("vreason_agent.model.placement.available_bytes", lambda device: None)
    check_memory(sizes, CPU, torch.float32, source="m")


def test_free_memory_of_this_machine_is_known_and_plausible() -> None:
    free = available_bytes(CPU)
    assert free is None or 50_000_000 < free < 1 << 50


def test_small_models_run_in_float32_on_the_cpu_and_large_ones_in_bfloat16() -> None:
    small, large = 1_000_000_000, 3_000_000_000
    assert choose_dtype(None, CPU, small) == torch.float32
    assert choose_dtype("auto", CPU, large) == torch.bfloat16
    assert choose_dtype("torch.float16", CPU, small) == choose_dtype(torch.float16, CPU, small) == torch.float16


def test_an_unknown_precision_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="pass one of: auto, float32, bfloat16, float16"):
        choose_dtype("int3", CPU, 1)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device(None) == choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(ConfigError, match=r"not available .* pass --device cpu"):
        choose_device("cuda:0")
    with pytest.raises(ConfigError, match="not known; pass --device cpu, cuda, cuda:1 or mps"):
        choose_device("gpu please")
    with pytest.raises(ConfigError, match="pass --device cpu"):
        choose_device("meta")


def test_cuda_comes_before_mps_before_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(None).type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(None).type == "cuda"
