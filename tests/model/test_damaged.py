"""Folders in the published layout with one damaged file: a `ModelLoadError` that names the file and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.model.published import write_folder
from vreason_agent.errors import ModelLoadError
from vreason_agent.model.folder import open_folder
from vreason_agent.model.loading import build_model

AGAIN = r"([Dd]ownload (it|the file|the folder) again).*: hf download REPO --local-dir FOLDER"
NOT_UTF8 = b"\xff\xfe{}"
LAYOUTS: dict[str, dict[str, Any]] = {
    "old": {"template": "old", "num_shards": 2},
    "new": {"template": "new", "preprocessor": "new"},
    "processor": {"template": "processor", "preprocessor": "processor"},
    "tokenizer": {},
}


def load(folder: Path) -> Any:
    return build_model(folder, name="damaged", device="cpu")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of each layout."""
    root = tmp_path_factory.mktemp("whole")
    return {layout: write_folder(root / layout, **settings) for layout, settings in LAYOUTS.items()}


@pytest.fixture
def copy(whole: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A function to a copy of the folder with a layout."""
    return lambda layout: Path(shutil.copytree(whole[layout], tmp_path / layout))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refuses(file: Path, content: bytes | dict[str, Any], match: str) -> None:
    """Damage a file of a folder, load the folder, and put the file back."""
    before = file.read_bytes()
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        change(file, **content)
    with pytest.raises(ModelLoadError, match=match):
        load(file.parent)
    file.write_bytes(before)


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        (
            "old",
            "config.json generation_config.json preprocessor_config.json chat_template.json "
            "model.safetensors.index.json tokenizer.json tokenizer_config.json",
        ),
        ("new", "video_preprocessor_config.json"),
        ("processor", "processor_config.json"),
    ],
)
def test_a_file_that_holds_no_json_object_is_named(layout: str, names: str, copy: Callable[[str], Path]) -> None:
    folder = copy(layout)
    for name in names.split():
        refuses(folder / name, b'{"a": [1, ', rf"{name}'.*not valid JSON.*{AGAIN}")


def test_every_damage_of_a_json_file_is_told(copy: Callable[[str], Path]) -> None:
    file = copy("old") / "config.json"
    damages = {"valid JSON": b"", "UTF-8 text": NOT_UTF8, "an object": b"[1]", "(not )?valid JSON": b"[" * 100_000}
    for what, content in damages.items():
        refuses(file, content, rf"config\.json'.*{what}.*{AGAIN}")


TEMPLATES = {
    "cut": "{% for message in messages %}{{ message['ro",
    "no loop": "{{ messages + 1 }}",
    "a division": "{{ 1 / 0 }}",
    "an unknown name": "{{ nobody.name }}",
    "a refusal": "{{ raise_exception('never') }}",
}


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("new", "chat_template.jinja"),
        ("old", "chat_template.json"),
        ("processor", "processor_config.json"),
        ("tokenizer", "tokenizer_config.json"),
    ],
)
def test_a_template_that_does_not_render_is_named(layout: str, name: str, copy: Callable[[str], Path]) -> None:
    file = copy(layout) / name
    for template in TEMPLATES.values() if layout == "new" else [TEMPLATES["cut"]]:
        content = template.encode() if layout == "new" else {"chat_template": template}
        refuses(file, content, rf"chat template of model 'damaged' in {name} cannot be used.*{AGAIN}")
    if layout == "new":
        refuses(file, NOT_UTF8, rf"chat_template\.jinja' is not UTF-8 text.*{AGAIN}")
    else:
        refuses(file, {"chat_template": [1]}, rf"chat_template in .*{name}' is neither a text nor a list.*{AGAIN}")


GENERATION: list[dict[str, Any]] = [
    {"eos_token_id": "<|im_end|>"},
    {"eos_token_id": [1, "2"]},
    {"eos_token_id": 1.5},
    {"eos_token_id": True},
    {"eos_token_id": -1},
    {"eos_token_id": 10_000},
    {"eos_token_id": {"a": 1}},
    {"pad_token_id": "x"},
    {"pad_token_id": 10_000},
]


def test_end_tokens_that_are_none_are_refused(copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    for values in GENERATION:
        refuses(folder / "generation_config.json", values, rf"generation_config\.json.*{next(iter(values))}.*{AGAIN}")


def test_absent_end_tokens_come_from_the_other_files(copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    expected = load(folder)
    absent: tuple[dict[str, Any], ...] = ({"eos_token_id": None, "pad_token_id": None}, {"eos_token_id": []})
    for values in absent:
        change(folder / "generation_config.json", **values)
        model = load(folder)
        assert model.stop_token_ids == expected.stop_token_ids[:1]
        assert model.pad_token_id == expected.pad_token_id


PREPROCESSOR: list[dict[str, Any]] = [
    {"image_mean": [0.5, 0.5]},
    {"image_mean": 0.5},
    {"image_mean": ["a", "b", "c"]},
    {"image_mean": [float("nan"), 0.5, 0.5]},
    {"image_std": [0, 0, 0]},
    {"image_std": [0.5, 0.5, -0.5]},
    {"image_std": [None, None, None]},
    {"rescale_factor": 0},
    {"rescale_factor": "1/255"},
    {"rescale_factor": float("inf")},
    {"min_pixels": 0},
    {"min_pixels": "3136"},
    {"min_pixels": [1]},
    {"max_pixels": -5},
    {"max_pixels": True},
    {"max_pixels": float("inf")},
    {"min_pixels": 9000, "max_pixels": 8000},
    {"size": 0},
    {"size": [28, 28]},
    {"size": {"shortest_edge": 0, "longest_edge": 0}},
    {"size": {"shortest_edge": "a"}},
]


def test_values_that_no_frame_can_be_prepared_with_are_refused(copy: Callable[[str], Path]) -> None:
    old, new = copy("old"), copy("new")
    for values in PREPROCESSOR:
        refuses(
            old / "preprocessor_config.json",
            values,
            rf"^preprocessor_config\.json \(or vision_config.*cannot be used.*{AGAIN}",
        )
    refuses(new / "video_preprocessor_config.json", {"size": 0}, rf"^video_preprocessor_config\.json \(or.*{AGAIN}")
    file = copy("processor") / "processor_config.json"
    for section in ("image_processor", "video_processor"):
        refuses(file, {section: [1]}, rf"{section} in .*processor_config\.json' is \[1\].*{AGAIN}")


def test_a_preprocessing_that_is_not_done_is_refused(copy: Callable[[str], Path]) -> None:
    file = copy("old") / "preprocessor_config.json"
    told: list[tuple[dict[str, Any], str]] = [
        ({"do_rescale": False}, "do_rescale=False: frames are always resized and rescaled"),
        ({"do_resize": False}, "do_resize=False"),
        ({"resample": 0}, "resample=0: frames are resized by"),
        ({"patch_size": 16}, r"patch_size=16: vision_config in config\.json says 14"),
        ({"merge_size": 4}, "merge_size=4"),
        ({"temporal_patch_size": 4}, "temporal_patch_size=4"),
    ]
    for values, what in told:
        refuses(file, values, rf"preprocessor_config\.json.*{what}")


def test_a_weight_file_or_index_that_is_damaged_is_named(copy: Callable[[str], Path]) -> None:
    index = copy("old") / "model.safetensors.index.json"
    maps: tuple[Any, ...] = ([], "model.safetensors", {"a": 1}, {"a": ["x"]}, {"a": "../other.safetensors"})
    for weight_map in maps:
        refuses(index, {"weight_map": weight_map}, rf"weight_map in .*safetensors\.index\.json'.*{AGAIN}")
    file = copy("tokenizer") / "model.safetensors"
    header = json.dumps({"a": {"shape": [-1], "data_offsets": [0, 4], "dtype": "F32"}}).encode()
    for content in (b"", b"nothing", len(header).to_bytes(8, "little") + header, file.read_bytes()[:-100]):
        refuses(file, content, rf"model\.safetensors' is no complete safetensors file.*{AGAIN}")


TOKENIZER: list[tuple[str, dict[str, Any]]] = [
    ("tokenizer.json", {"model": {"type": "BPE"}}),
    ("tokenizer.json", {"model": 5}),
    ("tokenizer.json", {"added_tokens": "x"}),
    ("tokenizer.json", {"version": 2}),
    ("tokenizer_config.json", {"eos_token": 5}),
    ("tokenizer_config.json", {"added_tokens_decoder": {"x": 5}}),
    ("tokenizer_config.json", {"added_tokens_decoder": []}),
    ("tokenizer_config.json", {"tokenizer_class": 5}),
]


def test_a_tokenizer_of_the_wrong_kinds_is_refused(copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    for name, values in TOKENIZER:
        refuses(folder / name, values, rf"{name.replace('.', '[.]')}.*{AGAIN}")


CONFIGS: list[dict[str, Any]] = [
    {"text_config": 5},
    {"text_config": {"hidden_size": 0}},
    {"text_config": {"num_attention_heads": 0}},
    {"text_config": {"num_hidden_layers": "two"}},
    {"text_config": {"hidden_act": "nothing"}},
    {"text_config": {"max_position_embeddings": 0}},
    {"text_config": {"rope_parameters": {"rope_type": "none"}}},
    {"text_config": {"rope_parameters": "x"}},
    {"vision_config": 5},
    {"vision_config": {"patch_size": 0}},
    {"vision_config": {"spatial_merge_size": 0}},
    {"vision_config": {"temporal_patch_size": 0}},
    {"vision_config": {"tokens_per_second": 0}},
    {"vision_config": {"tokens_per_second": "two"}},
    {"vision_config": {"window_size": 0}},
    {"vision_config": {"window_size": "wide"}},
    {"vision_config": {"fullatt_block_indexes": 7}},
    {"video_token_id": "<|video_pad|>"},
    {"video_token_id": -1},
    {"image_token_id": 1 << 70},
]


def test_a_config_of_the_wrong_kinds_is_refused(copy: Callable[[str], Path]) -> None:
    file = copy("old") / "config.json"
    known = json.loads(file.read_text())
    for values in CONFIGS:
        merged = {key: {**known[key], **value} if isinstance(value, dict) else value for key, value in values.items()}
        refuses(file, merged, r"config\.json.*(ownload the (file|folder) again|Choose a video-language)")


def test_weights_of_another_shape_are_named(copy: Callable[[str], Path]) -> None:
    file = copy("old") / "config.json"
    text = json.loads(file.read_text())["text_config"]
    wider = {"text_config": {**text, "intermediate_size": 2 * text["intermediate_size"]}}
    refuses(file, wider, r"lack \d+ tensors .*mlp.*, \(\d+, \d+\) in place of \(.*hf download")


def test_weights_with_an_adapter_that_is_not_merged_are_refused(copy: Callable[[str], Path]) -> None:
    from safetensors.torch import load_file, save_file

    file = copy("tokenizer") / "model.safetensors"
    weights = load_file(file)
    save_file({**weights, "model.layers.0.q_proj.lora_A.weight": next(iter(weights.values())).clone()}, file)
    with pytest.raises(ModelLoadError, match=r"not merged \(.*lora_A.*merge_and_unload"):
        load(file.parent)
    save_file({**weights, "value_head.weight": next(iter(weights.values())).clone()}, file, metadata={"format": "pt"})
    with pytest.warns(UserWarning, match=r"hold 1 tensors .* being value_head\.weight; they are left out"):
        load(file.parent)


def test_named_templates_are_read_or_told(copy: Callable[[str], Path]) -> None:
    folder = copy("tokenizer")
    file = folder / "tokenizer_config.json"
    template = json.loads(file.read_text())["chat_template"]
    named = [{"name": "default", "template": template}, {"name": "tool_use", "template": "TOOLS" + template}]
    change(file, chat_template=named)
    assert dict(open_folder(folder, source="m").chat_templates) == {"default": template, "tool_use": "TOOLS" + template}
    assert load(folder).tokenizer.chat_template == template
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("RAG")
    assert set(open_folder(folder, source="m").chat_templates) == {"default", "tool_use", "rag"}
    refuses(file, {"chat_template": named[1:]}, r"named rag, tool_use, and none is 'default'.*as chat_template\.jinja")


def test_a_family_for_another_architecture_is_told_apart_from_a_damaged_file(copy: Callable[[str], Path]) -> None:
    file = copy("old") / "config.json"
    refuses(file, {"vreason_family": "qwen3_vl"}, "says model_type 'qwen2_5_vl', and the family 'qwen3_vl' loads")
