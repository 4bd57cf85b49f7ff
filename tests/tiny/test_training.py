"""Claims about training: both phases run, learn something, and resume bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from vreason_agent.errors import ConfigError, ModelLoadError, VReasonError
from vreason_agent.tiny import train
from vreason_agent.tiny import training_loop as loop
from vreason_agent.tiny.build import MICRO, build_model
from vreason_agent.tiny.curriculum import make_batch, plan_batch, progress_at
from vreason_agent.tiny.frame_pairs import Replay, random_pairs
from vreason_agent.tiny.language_phase import train_language
from vreason_agent.tiny.training_loop import Run, feed, run_steps
from vreason_agent.tiny.vision_phase import train_vision


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A fresh tokenizer."""
    return train.fresh_tokenizer()


def state_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def train_words(
    tokenizer: PreTrainedTokenizerFast, folder: Path, stops: list[int], **how: Any
) -> dict[str, torch.Tensor]:
    """Train a very small model for four steps, pausing and resuming at `stops`."""
    folder.mkdir()
    for stop in stops:
        model = build_model(tokenizer, MICRO, seed=3)
        steps = Run(
            "language", 4, folder / "language.pt", folder / "log.jsonl", stop_at=stop, **{"in_process": True, **how}
        )
        train_language(
            model, tokenizer.backend_tokenizer, steps, batch_tokens=300, learning_rate=1e-3, folder=str(folder)
        )
    return state_of(model)


def train_sight(
    tokenizer: PreTrainedTokenizerFast, folder: Path, stops: list[int], **how: Any
) -> dict[str, torch.Tensor]:
    """Train a very small tower for four steps, pausing and resuming at `stops`; its replay overflows."""
    folder.mkdir()
    for stop in stops:
        visual = build_model(tokenizer, MICRO, seed=3).model.visual
        steps = Run(
            "vision", 4, folder / "vision.pt", folder / "log.jsonl", stop_at=stop, **{"in_process": True, **how}
        )
        train_vision(visual, MICRO.hidden, steps, batch=24, learning_rate=1e-3, folder=str(folder), capacity=800)
    return state_of(visual)


PHASES = [train_words, pytest.param(train_sight, marks=pytest.mark.slow)]


@pytest.mark.parametrize("train_phase", PHASES)
def test_a_resumed_run_equals_an_uninterrupted_one(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, train_phase
) -> None:
    whole, resumed = train_phase(tokenizer, tmp_path / "a", [4]), train_phase(tokenizer, tmp_path / "b", [2, 4])
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    fresh = build_model(tokenizer, MICRO, seed=3)
    begun = state_of(fresh if train_phase is train_words else fresh.model.visual)
    assert any(not torch.equal(whole[name], begun[name]) for name in whole), "something was learned"


@pytest.mark.parametrize("train_phase", PHASES)
def test_a_run_with_a_worker_process_equals_one_without(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, train_phase
) -> None:
    here = train_phase(tokenizer, tmp_path / "a", [2])
    there = train_phase(tokenizer, tmp_path / "b", [2], in_process=False)
    assert all(torch.equal(here[name], there[name]) for name in here)


def test_a_checkpoint_of_another_kind_says_how_to_begin_from_it(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    old = tmp_path / "language.pt"
    torch.save({"model": {}, "optimizers": [], "step": 3}, old)
    with pytest.raises(ModelLoadError, match=rf"--start-from {old} and another --run"):
        run_steps(Run("language", 4, old, tmp_path / "log.jsonl"), {"model": torch.nn.Linear(1, 1)}, int, print, dict)


def test_the_vision_log_tells_loss_and_cells(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    train_sight(tokenizer, tmp_path / "a", [2], log_every=2)
    (row,) = map(json.loads, (tmp_path / "a" / "log.jsonl").read_text().splitlines())
    assert (row["phase"], row["step"]) == ("vision", 2)
    assert row["loss"] > 0
    assert 0 <= row["cells_right"] <= 1


def test_steps_that_are_done_again_are_logged_once(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    train_sight(tokenizer, tmp_path / "a", [2], log_every=1)
    log = tmp_path / "a" / "log.jsonl"
    lost = [{"phase": "vision", "step": 3}, {"phase": "language", "step": 9}]
    log.write_text(log.read_text() + "".join(f"{json.dumps(row)}\n" for row in lost))
    steps = Run("vision", 4, tmp_path / "a" / "vision.pt", log, log_every=1, in_process=True)
    visual = build_model(tokenizer, MICRO, seed=3).model.visual
    train_vision(visual, MICRO.hidden, steps, batch=24, learning_rate=1e-3, folder=str(tmp_path), capacity=800)
    rows = [json.loads(line) for line in steps.log.read_text().splitlines()]
    assert [(row["phase"], row["step"]) for row in rows] == [
        ("vision", 1),
        ("vision", 2),
        ("language", 9),
        ("vision", 3),
        ("vision", 4),
    ]


def test_training_the_language_leaves_the_tower_alone(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    trained = train_words(tokenizer, tmp_path / "a", [1])
    fresh = build_model(tokenizer, MICRO, seed=3).state_dict()
    assert any(not torch.equal(trained[name], fresh[name]) for name in trained if "language_model" in name)
    assert all(torch.equal(trained[name], fresh[name]) for name in trained if "visual" in name), "the tower is frozen"


KILLED = """
import os, time
from vreason_agent.tiny import training_loop as loop
loop.PATIENCE_SECONDS = 0.2
batches = loop.feed(lambda number: os.getpid(), range(1000), in_process=False)
print(next(batches), flush=True)
time.sleep(60)
"""


def test_a_killed_trainer_leaves_no_worker_behind() -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        worker = int(trainer.stdout.readline())
        trainer.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


def test_a_worker_that_fails_ends_the_run_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(VReasonError, match="run again to resume"):
        list(feed(lambda number: 1 // 0, range(3), in_process=False))


def test_a_batch_depends_on_seed_and_number_alone(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    plan = plan_batch(7, 0.9, seed=1, batch_tokens=600)
    first, second = (make_batch(plan, tokenizer.backend_tokenizer, folder=str(tmp_path)) for _ in range(2))
    assert np.array_equal(first.ids, second.ids)
    assert plan_batch(8, 0.9, seed=1, batch_tokens=600) != plan


def test_progress_runs_from_where_it_begins_to_the_end() -> None:
    assert progress_at(0, 100, begin=0.0) == 0.0
    assert progress_at(0, 100, begin=0.6) == 0.6
    assert 0.99 < progress_at(99, 100, begin=0.6) < 1.0


def test_mirrored_pairs_keep_their_labels() -> None:
    replay, folder = Replay(24), "/dev/shm" if Path("/dev/shm").exists() else "."
    rng = np.random.default_rng(0)
    replay.add(random_pairs(rng, folder))
    pairs = replay.draw(rng, 12)
    for frames, labels in zip(*pairs, strict=True):
        for frame, cells in zip(frames, labels, strict=True):
            edge = np.median(frame[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int), axis=0)
            for cell, (color, _) in enumerate(cells):
                row, column = divmod(cell, 3)
                spot = frame[28 * row + 12 : 28 * row + 16, 28 * column + 12 : 28 * column + 16].astype(int)
                if color and np.abs(spot - edge).max() < 25:
                    pytest.fail("a cell that should hold an object looks empty")


def test_the_mean_of_checkpoints_is_taken_weight_by_weight(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("a.pt", "b.pt")]
    for place, value in zip(places, (1.0, 2.0), strict=True):
        torch.save({"model": {"weight": torch.full((2,), value)}, "step": 3}, place)
    assert train.mean_weights(places)["weight"].tolist() == [1.5, 1.5]
    assert train.mean_weights(places[:1])["weight"].tolist() == [1.0, 1.0]


def test_exporting_before_training_says_how_to_train(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tiny\.train --phase language"):
        train.main(["--run", str(tmp_path), "--phase", "export", "--threads", "1", "--out", str(tmp_path / "out")])


def test_the_log_reports_losses(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    steps = Run("language", 20, tmp_path / "language.pt", tmp_path / "log.jsonl", in_process=True)
    train_language(
        build_model(tokenizer, MICRO),
        tokenizer.backend_tokenizer,
        steps,
        batch_tokens=150,
        learning_rate=1e-3,
        use_muon=False,
        folder=str(tmp_path),
    )
    row = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert (row["phase"], row["step"]) == ("language", 20)
    assert 0 < row["video_loss"] < 10
    assert row["tokens"] > 1000
