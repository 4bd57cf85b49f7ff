"""Claims about training: both phases run, learn something, and resume bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from vreason_agent.errors import ConfigError
from vreason_agent.tiny import train
from vreason_agent.tiny.build import MICRO, build_model
from vreason_agent.tiny.curriculum import BASICS, make_batch, plan_batch, progress_at
from vreason_agent.tiny.language_phase import train_language
from vreason_agent.tiny.pairs import Replay, random_pairs


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A fresh tokenizer."""
    return train.fresh_tokenizer()


def run(tokenizer: PreTrainedTokenizerFast, folder: Path, stops: list[int]) -> dict[str, torch.Tensor]:
    """Train a very small model for four steps, pausing and resuming at `stops`."""
    for stop in stops:
        model = build_model(tokenizer, MICRO, seed=3)
        train_language(
            model,
            tokenizer.backend_tokenizer.to_str(),
            num_steps=4,
            batch_tokens=300,
            learning_rate=1e-3,
            stop_at=stop,
            checkpoint=folder / "language.pt",
            log=folder / "log.jsonl",
            folder=str(folder),
            in_process=True,
        )
    return model.state_dict()


def test_a_resumed_run_equals_an_uninterrupted_one(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole, resumed = run(tokenizer, tmp_path / "a", [4]), run(tokenizer, tmp_path / "b", [2, 4])
    fresh = build_model(tokenizer, MICRO, seed=3).state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert any(not torch.equal(whole[name], fresh[name]) for name in whole if "language_model" in name)
    assert all(torch.equal(whole[name], fresh[name]) for name in whole if "visual" in name), "the tower is frozen"


def test_a_batch_depends_on_seed_and_number_alone(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    plan = plan_batch(7, 0.9, seed=1, batch_tokens=600)
    first, second = (make_batch(plan, tokenizer.backend_tokenizer, folder=str(tmp_path)) for _ in range(2))
    assert np.array_equal(first.ids, second.ids)
    assert plan_batch(8, 0.9, seed=1, batch_tokens=600) != plan


def test_a_run_from_weights_skips_the_short_clips() -> None:
    assert progress_at(0, 100, skips_basics=False) == 0.0
    assert progress_at(0, 100, skips_basics=True) == BASICS
    assert progress_at(99, 100, skips_basics=True) < 1.0


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


def test_exporting_before_training_says_how_to_train(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tiny\.train --phase language"):
        train.main(["--run", str(tmp_path), "--phase", "export", "--threads", "1", "--out", str(tmp_path / "out")])


def test_the_log_reports_losses(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    model = build_model(tokenizer, MICRO)
    train_language(
        model,
        tokenizer.backend_tokenizer.to_str(),
        num_steps=20,
        batch_tokens=150,
        learning_rate=1e-3,
        use_muon=False,
        checkpoint=tmp_path / "language.pt",
        log=tmp_path / "log.jsonl",
        folder=str(tmp_path),
        in_process=True,
    )
    row = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert row["step"] == 20
    assert 0 < row["video_loss"] < 10
