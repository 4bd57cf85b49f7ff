"""What an answer will need in memory, and what would fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import recipes
from tests.model.family_folders import NAMES, SPECIAL, write_family
from vreason_agent.chat_model import ChatVReason
from vreason_agent.cli import main
from vreason_agent.errors import ConfigError, ModelLoadError
from vreason_agent.model import load_model
from vreason_agent.model.memory_plan import MemoryPlanner, PictureSize, parse_memory, planner_of

VIDEO = PictureSize(32, 720, 1280)
RECIPES = Path(__file__).parents[2] / "docs" / "recipes.md"


@pytest.fixture(scope="module")
def planner() -> MemoryPlanner:
    return planner_of("tiny", device="cpu")


@pytest.mark.parametrize(
    ("written", "num_bytes"),
    [("8GB", 8 * 10**9), ("500 mb", 5 * 10**8), ("7.5GiB", 7.5 * 2**30), ("2G", 2 * 10**9), (1024, 1024), ("64", 64)],
)
def test_an_amount_of_memory_is_read(written: Any, num_bytes: float) -> None:
    assert parse_memory(written) == num_bytes


@pytest.mark.parametrize("written", ["", "many", "-1GB", "0", "8 TB"])
def test_no_amount_of_memory_is_told(written: str) -> None:
    with pytest.raises(ConfigError, match=r"no amount of memory; give one such as 8GB"):
        parse_memory(written)


def test_a_plan_grows_with_what_it_counts(planner: MemoryPlanner) -> None:
    plain = planner.plan([VIDEO])
    assert plain.weights >= planner.weights == 4 * planner.num_parameters
    assert planner.plan([VIDEO._replace(num_frames=64)]).total > plain.total
    assert planner.plan([VIDEO], is_resized_early=True).total < plain.total
    assert planner.as_dtype(torch.bfloat16).plan([VIDEO]).total < plain.total
    text = planner.plan([], max_new_tokens=4000)
    assert text.controller == text.frames == 0
    assert text.cache > planner.plan([], max_new_tokens=8).cache > 0
    assert planner.plan([], max_new_tokens=4000, is_lite=True).total == text.total


def test_the_largest_number_of_frames_is_the_last_that_fits(planner: MemoryPlanner) -> None:
    limit = planner.plan([VIDEO]).total
    assert planner.largest(limit, VIDEO) == 32
    assert planner.largest(limit - 1, VIDEO) == 30
    assert planner.largest(planner.weights, VIDEO) == 0


def test_what_does_not_fit_names_what_would(planner: MemoryPlanner) -> None:
    limit = planner.plan([VIDEO]).total - 1
    message = (
        r"32 frames of 1280 x 720 px needs about 0\.\d\d GB \(weights 0\.02, .*\), and max_memory is 0\.\d\d GB\. "
        r"What would fit: 30 frames \(--max-frames, num_frames\), or frames of half .*PixelBudget.*, or --dtype bf"
    )
    with pytest.raises(ModelLoadError, match=message):
        planner.check(limit, [VIDEO])
    with pytest.raises(ModelLoadError, match=r"about text needs .*Nothing smaller of this model fits: raise"):
        planner.check(1000, [])


@pytest.mark.parametrize("name", NAMES)
def test_every_family_is_planned_from_its_folder(name: str, tmp_path: Path) -> None:
    folder = str(write_family(tmp_path, name))
    planner = planner_of(folder, device="cpu")
    # A tied or unused tensor is counted in a file or in a model only.
    assert planner.weights == pytest.approx(load_model(folder, device="cpu").num_bytes, rel=0.05)
    plan = planner.plan([VIDEO])
    assert plan.total > planner.plan([VIDEO._replace(num_frames=2)]).total > planner.weights


def test_the_chat_model_refuses_before_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vreason_agent.chat.model.load_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(ModelLoadError, match=r"max_memory is 0\.00 GB"):
        ChatVReason(max_memory="1MB").invoke("?")
    with pytest.raises(ConfigError, match="no amount of memory"):
        ChatVReason(max_memory="much")


def test_the_chat_model_refuses_before_it_decodes_a_frame(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vreason_agent.video.VideoReader.read", lambda *_, **__: pytest.fail("decoded"))
    question: list[Any] = [{"type": "video", "path": clip}, {"type": "text", "text": "?"}]
    limit = planner_of("tiny", device="cpu").plan([], max_new_tokens=8).total + 1000
    chat_model = ChatVReason(max_memory=limit, device="cpu", max_tokens=8)
    with pytest.raises(ModelLoadError, match=r"4 frames of 64 x 48 px needs"):
        chat_model.invoke([("user", question)])


def test_what_is_kept_for_later_gets_the_rest_of_the_bound(clip: str) -> None:
    question: list[Any] = [{"type": "video", "path": clip}, {"type": "text", "text": "?"}]
    limit = planner_of("tiny", device="cpu").plan([PictureSize(4, 48, 64)]).total + 2**20
    chat_model = ChatVReason(max_memory=limit, device="cpu", dtype="float32", max_tokens=8, enable_thinking=True)
    chat_model.invoke([("user", question)])
    assert 0 < chat_model.engine.reuse.max_bytes < 2**25
    assert chat_model.engine is not ChatVReason(device="cpu").engine  # whose store stays as it was


def test_ask_refuses_before_it_loads(clip: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", clip, "?", "--max-memory", "10MB", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["name"] == "ModelLoadError"
    assert "max_memory is 0.01 GB" in error["message"]
    assert main(["ask", clip, "?", "--max-memory", "much"]) == 2
    assert "8GB" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_of_recipes_is_what_its_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    recipes.main()
    assert capsys.readouterr().out == RECIPES.read_text()


def test_every_family_has_a_recipe_that_says_that_nobody_ran_it() -> None:
    page = RECIPES.read_text()
    assert "Never run by us on published weights" in page
    assert all(f"| `{name}` |" in page for name in SPECIAL if "moe" not in name)
