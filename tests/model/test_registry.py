"""Which asks for a model are asks for the same one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model.published import write_folder
from vreason_agent.model import families, load_model, loaded_models, register_family, registry, unload
from vreason_agent.model.families import BUILTIN_FAMILIES
from vreason_agent.model.source import MODEL_VARIABLE, bundled_folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = write_folder(tmp_path / "m")
    yield folder
    for model in loaded_models():
        if str(tmp_path) in model.name:
            unload(model)


def test_a_model_is_loaded_once_per_process_and_can_be_unloaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL_VARIABLE, str(folder))
    model = load_model(device="cpu")
    assert load_model(folder, device="cpu") is model
    assert load_model(folder, device="cpu", dtype="bfloat16").dtype != model.dtype
    assert model in loaded_models()
    assert unload(model) == 1
    assert model not in loaded_models()
    assert load_model(folder, device="cpu") is not model


def test_other_spellings_of_a_folder_are_the_same_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "link").symlink_to(folder)
    model = load_model(folder, device="cpu")
    for spelling in ("./m", f"{folder}{os.sep}", f"{folder.parent}/../{folder.parent.name}/m", "./link"):
        assert load_model(spelling, device="cpu") is model, spelling


@pytest.mark.parametrize(
    "asked",
    [
        {"dtype": "float32"},
        {"dtype": torch.float32},
        {"dtype": "auto"},
        {"device": torch.device("cpu", 0)},
        {"attn_implementation": "sdpa"},
    ],
    ids=str,
)
def test_what_a_default_comes_to_is_the_same_model(asked: dict[str, Any], folder: Path) -> None:
    model = load_model(folder, device="cpu")
    assert load_model(folder, **{"device": "cpu", **asked}) is model
    unload(model)
    first = load_model(folder, **{"device": "cpu", **asked})
    assert load_model(folder, device="cpu") is first


def test_the_current_card_is_the_same_device_by_its_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(registry, "_models", {})
    model = load_model(folder, device="cpu")
    monkeypatch.setattr(registry, "build_model", lambda *_, **settings: (model, settings["device"]))
    monkeypatch.setattr(registry, "_is_registered", lambda _: True)
    current: Any = load_model(folder, device="cuda")
    assert current == (model, torch.device("cuda"))
    assert load_model(folder, device="cuda:1") is current
    assert load_model(folder, device="cuda:0") is not current


def test_a_family_registered_anew_is_what_its_model_gets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "_families", {known.name: known for known in BUILTIN_FAMILIES})
    before = load_model(folder, device="cpu")
    replaced = type(before.family)()
    register_family(replaced, replace=True)
    after = load_model(folder, device="cpu")
    assert after.family is replaced
    assert before not in loaded_models()
    assert load_model(folder, device="cpu") is after


def test_the_bundled_model_is_known_as_such_by_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_models", {})
    by_folder = load_model(bundled_folder(), device="cpu")
    assert by_folder.name == "tiny"
    assert load_model("tiny", device="cpu") is by_folder
