"""Folders in the published layout, loaded and asked through the command line."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from tests.model.family_folders import NAMES, write_family
from tests.model.published import SIDE_PX, config_of, flat_config_of, write_folder
from vreason_agent.chat_model import ChatVReason
from vreason_agent.cli import main
from vreason_agent.cli.doctor import describe_folder, format_picture_limits

ANSWERED_OR_ABSTAINED = (0, 3)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("family", "layout"),
    [
        ("qwen2_5_vl", {"template": "old", "preprocessor": "old", "num_shards": 3}),
        ("qwen2_5_vl", {"is_flat": True, "template": "old", "num_shards": 2}),
        pytest.param("qwen2_vl", {"is_flat": True, "template": "old"}, marks=pytest.mark.slow),
        pytest.param("qwen2_vl", {"template": "tokenizer", "preprocessor": "old"}, marks=pytest.mark.slow),
        pytest.param("qwen3_vl", {"template": "new", "preprocessor": "new", "num_shards": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_published_folder_is_asked_through_the_command_line(
    family: str, layout: dict[str, Any], clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = dict(layout)
    is_flat = layout.pop("is_flat", False)
    config = flat_config_of(family) if is_flat else config_of(family)
    config.get("text_config", config)["max_position_embeddings"] = 448  # a short context keeps random babble short
    folder = write_folder(tmp_path / family, family, config=config, **layout)
    code = main(["ask", clip, "Which color?", "--model", str(folder), "--frames", "2", "--max-frames", "2", "--json"])
    out = json.loads(capsys.readouterr().out)
    assert code in ANSWERED_OR_ABSTAINED
    assert str(folder) in json.dumps(out["model"])
    [use] = out["attempts"][0]["vision"]
    side = SIDE_PX[family]
    assert (out["model"]["video"]["min_px"], out["model"]["video"]["max_px"]) == (4 * side**2, 8 * side**2)
    assert (out["model"]["video"]["min_tokens"], out["model"]["video"]["max_tokens"]) == (4, 8)
    assert out["model"]["video"]["max_total_tokens"] == out["model"]["video"]["max_total_px"] // side**2 == 115_200
    assert out["model"]["image"]["max_px"] == 8 * side**2
    assert out["model"]["video"]["min_px"] <= use["height_px"] * use["width_px"] <= out["model"]["video"]["max_px"]
    assert use["tokens_per_pair"] == use["height_px"] * use["width_px"] // side**2
    tokens = sum(use["num_tokens"] for attempt in out["attempts"] for use in attempt["vision"])
    assert out["usage"]["vision_tokens"] == tokens == use["tokens_per_pair"] * len(out["attempts"])
    assert out["usage"]["input_tokens"] > tokens


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name",
    [name if name in ("gemma4", "smolvlm") else pytest.param(name, marks=pytest.mark.slow) for name in NAMES],
)
def test_every_family_is_asked_through_the_command_line(
    name: str, clip: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_family(tmp_path / "m", name)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 640  # a short context keeps random babble short
    (folder / "config.json").write_text(json.dumps(config))
    code = main(["ask", clip, "Which color?", "--model", str(folder), "--frames", "2", "--max-frames", "2", "--json"])
    out = json.loads(capsys.readouterr().out)
    assert code in ANSWERED_OR_ABSTAINED
    assert out["model"]["family"] == name.split()[0]
    assert out["usage"]["vision_tokens"] > 0


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_doctor_tells_what_a_frame_and_a_video_may_cost(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--model", str(folders["qwen2_5_vl"]), "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "scaled to 3136 to 6272 px, a pair of frames takes 4 to 8 tokens, a video at most 90316800 px" in out
    assert "or 115200 tokens; weights take" in out
    assert "; can be steered; loaded in" in out


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_of_every_family_is_described_without_loading_weights(name: str, tmp_path: Path) -> None:
    folder = write_family(tmp_path, name)
    described = describe_folder(argparse.Namespace(model=str(folder), revision=None, device="cpu", dtype=None))
    lines = [line.strip() for line in described.splitlines()]
    assert len(lines) <= 8
    assert lines[0].startswith(f"family {name.split()[0]}: ")
    assert lines[0].endswith("not quantized")
    assert "GB (weights 0.00, runtime 0.05" in lines[4]
    assert lines[-1] == "can be steered"


def test_doctor_says_why_a_folder_cannot_be_steered_or_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_family(tmp_path, "qwen3_5")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["layer_types"][-1] = "linear_attention"
    (folder / "config.json").write_text(json.dumps(config))
    described = describe_folder(argparse.Namespace(model=str(folder), revision=None, device="cpu", dtype="bfloat16"))
    assert "as bfloat16 on cpu" in described
    assert "V-Reason cannot steer" in described
    assert "'linear_attention' and not full attention; decode with --schedule off" in described
    (folder / "model.safetensors").unlink()
    assert main(["doctor", "--model", str(folder), "--device", "cpu"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  folder    model folder" in out
    assert " model  " not in out


def test_doctor_tells_where_a_video_has_no_limit_of_its_own() -> None:
    limits = {
        "min_px": 4,
        "max_px": 8,
        "min_tokens": 1,
        "max_tokens": 2,
        "max_total_px": None,
        "max_total_tokens": None,
    }
    assert format_picture_limits({"video": limits}).endswith("1 to 2 tokens, a video as many as the context holds")


@pytest.fixture
def hub(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """A hub that has one model under every name; what was asked of it."""
    asked: list[tuple[str, str | None]] = []

    def download(repository: str, *, revision: str | None = None, **_: Any) -> str:
        asked.append((repository, revision))
        return str(folders["qwen2_5_vl"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_revision_reaches_the_hub_and_is_reported(
    hub: list[tuple[str, str | None]], clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--frames", "2", "--max-frames", "2", "--json"]
    assert main(["ask", clip, "?", "--model", "Org/M", "--revision", "v1", *few]) in ANSWERED_OR_ABSTAINED
    report = json.loads(capsys.readouterr().out)
    assert (report["model"]["name"], report["model"]["revision"]) == ("Org/M", "v1")
    assert set(hub) == {("Org/M", "v1")}
    assert main(["doctor", "--model", "Org/M", "--revision", "v2", "--device", "cpu"]) == 0
    assert hub[-1] == ("Org/M", "v2")
    assert ChatVReason(model="Org/M", revision="v3", device="cpu").engine.revision == "v3"
    assert hub[-1] == ("Org/M", "v3")


def test_a_question_that_alone_exceeds_the_context_is_told_to_be_shorter(
    folders: dict[str, Path], clip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", clip, "word " * 400, "--model", str(folders["qwen2_5_vl"]), "--quiet"]) == 1
    err = capsys.readouterr().err
    assert "without any frame, and the model's context holds 1024; shorten it" in err
    assert "--max-frames" not in err
