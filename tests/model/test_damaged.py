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
from vreason_agent.model.loading import build_model

AGAIN = r"([Dd]ownload (it|the file|the folder) again).*: hf download REPO --local-dir FOLDER"
NOT_UTF8 = b"\xff\xfe{}"
CONTENTS = {"truncated": b'{"a": [1, ', "empty": b"", "not UTF-8": NOT_UTF8, "a list": b"[1]", "deep": b"[" * 100_000}


def load(folder: Path) -> Any:
    return build_model(folder, name="damaged", device="cpu")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function to the folder with a layout, written once."""
    root = tmp_path_factory.mktemp("whole")
    layouts: dict[str, dict[str, Any]] = {
        "old": {"template": "old", "num_shards": 2},
        "new": {"template": "new", "preprocessor": "new"},
        "processor": {"template": "processor", "preprocessor": "processor"},
        "tokenizer": {},
    }
    made: dict[str, Path] = {}

    def folder(layout: str) -> Path:
        if layout not in made:
            made[layout] = write_folder(root / layout, **layouts[layout])
        return made[layout]

    return folder


@pytest.fixture
def copy(whole: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A function to a copy of the folder with a layout."""
    return lambda layout: Path(shutil.copytree(whole(layout), tmp_path / "damaged"))


FILES = {
    "config.json": "old",
    "generation_config.json": "old",
    "preprocessor_config.json": "old",
    "video_preprocessor_config.json": "new",
    "processor_config.json": "processor",
    "chat_template.json": "old",
    "model.safetensors.index.json": "old",
    "tokenizer.json": "old",
    "tokenizer_config.json": "old",
}


@pytest.mark.parametrize("damage", CONTENTS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_holds_no_json_object_is_named(name: str, damage: str, copy: Callable[[str], Path]) -> None:
    folder = copy(FILES[name])
    (folder / name).write_bytes(CONTENTS[damage])
    with pytest.raises(ModelLoadError, match=rf"{name}'.*(not valid JSON|not UTF-8 text|not an object).*{AGAIN}"):
        load(folder)


def test_a_template_file_that_is_not_utf8_is_named(copy: Callable[[str], Path]) -> None:
    folder = copy("new")
    (folder / "chat_template.jinja").write_bytes(NOT_UTF8)
    with pytest.raises(ModelLoadError, match=rf"chat_template\.jinja' is not UTF-8 text.*{AGAIN}"):
        load(folder)


TEMPLATES = {
    "cut": "{% for message in messages %}{{ message['ro",
    "no loop": "{{ messages + 1 }}",
    "a division": "{{ 1 / 0 }}",
    "an unknown name": "{{ nobody.name }}",
    "a refusal": "{{ raise_exception('never') }}",
}


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    ("layout", "name"),
    [("new", "chat_template.jinja"), ("old", "chat_template.json"), ("processor", "processor_config.json")],
)
def test_a_template_that_does_not_render_is_named(
    layout: str, name: str, template: str, copy: Callable[[str], Path]
) -> None:
    folder = copy(layout)
    if name.endswith(".json"):
        change(folder / name, chat_template=TEMPLATES[template])
    else:
        (folder / name).write_text(TEMPLATES[template])
    with pytest.raises(ModelLoadError, match=rf"chat template of model 'damaged' in {name} cannot be used.*{AGAIN}"):
        load(folder)


def test_a_template_of_the_tokenizer_that_does_not_render_is_named(copy: Callable[[str], Path]) -> None:
    folder = copy("tokenizer")
    change(folder / "tokenizer_config.json", chat_template=TEMPLATES["cut"])
    with pytest.raises(ModelLoadError, match=rf"in tokenizer_config\.json cannot be used.*{AGAIN}"):
        load(folder)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


GENERATION = [
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


@pytest.mark.parametrize("values", GENERATION, ids=str)
def test_end_tokens_that_are_none_are_refused(values: dict[str, Any], copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    change(folder / "generation_config.json", **values)
    [key] = values
    with pytest.raises(ModelLoadError, match=rf"generation_config\.json.*{AGAIN}") as caught:
        load(folder)
    assert key in str(caught.value)


@pytest.mark.parametrize("values", [{"eos_token_id": None, "pad_token_id": None}, {"eos_token_id": []}], ids=str)
def test_absent_end_tokens_come_from_the_other_files(values: dict[str, Any], copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    expected = load(folder)
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


@pytest.mark.parametrize("values", PREPROCESSOR, ids=str)
@pytest.mark.parametrize(
    ("layout", "name"), [("old", "preprocessor_config.json"), ("new", "video_preprocessor_config.json")]
)
def test_values_that_no_frame_can_be_prepared_with_are_refused(
    layout: str, name: str, values: dict[str, Any], copy: Callable[[str], Path]
) -> None:
    folder = copy(layout)
    change(folder / name, **values)
    with pytest.raises(ModelLoadError, match=rf"^{name} \(or vision_config.*cannot be used.*{AGAIN}"):
        load(folder)


@pytest.mark.parametrize("section", ["image_processor", "video_processor"])
def test_a_section_of_the_processor_file_that_is_no_object_is_refused(
    section: str, copy: Callable[[str], Path]
) -> None:
    folder = copy("processor")
    change(folder / "processor_config.json", **{section: [1]})
    with pytest.raises(ModelLoadError, match=rf"{section} in .*processor_config\.json' is \[1\].*{AGAIN}"):
        load(folder)


INDEXES: list[Any] = [[], "model.safetensors", {"a": 1}, {"a": None}, {"a": ["x"]}, {"a": "../other.safetensors"}]


@pytest.mark.parametrize("weight_map", INDEXES, ids=str)
def test_an_index_that_names_no_files_beside_it_is_refused(weight_map: Any, copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    change(folder / "model.safetensors.index.json", weight_map=weight_map)
    with pytest.raises(ModelLoadError, match=rf"weight_map in .*model\.safetensors\.index\.json'.*{AGAIN}"):
        load(folder)


HEADERS: list[Any] = [
    {"a": 1},
    {"a": {}},
    {"a": {"shape": ["x"], "data_offsets": [0, 4], "dtype": "F32"}},
    {"a": {"shape": [-1], "data_offsets": [0, 4], "dtype": "F32"}},
    {"a": {"shape": [1], "data_offsets": [0], "dtype": "F32"}},
    {"a": {"shape": [1], "data_offsets": "04", "dtype": "F32"}},
    {"a": {"shape": [1], "data_offsets": [0, None], "dtype": "F32"}},
]


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_a_weight_file_with_a_damaged_header_is_named(header: Any, copy: Callable[[str], Path]) -> None:
    folder = copy("tokenizer")
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises(ModelLoadError, match=rf"model\.safetensors' is no complete safetensors file.*{AGAIN}"):
        load(folder)


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


@pytest.mark.parametrize(("name", "values"), TOKENIZER, ids=str)
def test_a_tokenizer_of_the_wrong_kinds_is_refused(name: str, values: Any, copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    change(folder / name, **values)
    with pytest.raises(ModelLoadError, match=rf"{name.replace('.', '[.]')}.*{AGAIN}"):
        load(folder)


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


@pytest.mark.parametrize("values", CONFIGS, ids=str)
def test_a_config_of_the_wrong_kinds_is_refused(values: dict[str, Any], copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    known = json.loads((folder / "config.json").read_text())
    merged = {key: {**known[key], **value} if isinstance(value, dict) else value for key, value in values.items()}
    change(folder / "config.json", **merged)
    with pytest.raises(
        ModelLoadError, match=r"config\.json.*(ownload the (file|folder) again|Choose a video-language)"
    ):
        load(folder)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"do_normalize": False}, "do_normalize=False: frames are always resized, rescaled and normalized"),
        ({"do_resize": False}, "do_resize=False"),
        ({"resample": 0}, "resample=0: frames are resized bicubically"),
        ({"patch_size": 16}, r"patch_size=16: vision_config in config\.json says 14"),
        ({"merge_size": 4}, "merge_size=4"),
        ({"temporal_patch_size": 4}, "temporal_patch_size=4"),
    ],
    ids=str,
)
def test_a_preprocessing_that_is_not_done_is_refused(
    values: dict[str, Any], told: str, copy: Callable[[str], Path]
) -> None:
    folder = copy("old")
    change(folder / "preprocessor_config.json", **values)
    with pytest.raises(ModelLoadError, match=rf"preprocessor_config\.json.*{told}"):
        load(folder)


def test_weights_of_another_shape_are_named(copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    config = json.loads((folder / "config.json").read_text())
    place = config.get("text_config", config)
    place["intermediate_size"] *= 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match=r"lack \d+ tensors .*mlp.*, \(\d+, \d+\) in place of \(.*hf download"):
        load(folder)
