"""What every figure needs: the clips, the model, the run files, and a line of progress.

This module does not know which figures are made.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vreason_agent import __version__
from vreason_agent.evaluation import Question, Result, run
from vreason_agent.evaluation.adapter import Engine, Setting
from vreason_agent.evaluation.dataset import digest_of
from vreason_agent.evaluation.world_dataset import ensure_clips
from vreason_agent.tiny.world import SceneSet, Split


@dataclass(frozen=True)
class Bench:
    """A dataset and a model, with the folder that keeps their answers.

    Attributes:
        data: Cache folder of clips.
        out: Folder of run files; answers found there are not asked for again.
        model: Model to load: `"tiny"`, a folder or a hub id.
        split: `"dev"` to tune, `"test"` for figures.
        num_questions: Number of questions, one of each seed.
        first_seed: Seed of the first question.
        batch_size: Questions generated together.
        scene_set: `"standard"` or `"dense"`.
    """

    data: Path
    out: Path
    model: str = "tiny"
    split: Split = "test"
    num_questions: int = 1000
    first_seed: int = 0
    batch_size: int = 48
    scene_set: SceneSet = "standard"

    @cached_property
    def questions(self) -> list[Question]:
        """The split's questions; their clips are written on first use."""
        return ensure_clips(
            self.data, self.split, self.num_questions, first_seed=self.first_seed, scene_set=self.scene_set
        )

    @property
    def title(self) -> str:
        """Which questions these are, in words."""
        seeds = f", seeds {self.first_seed} to {self.first_seed + self.num_questions - 1}" if self.first_seed else ""
        return f"{self.num_questions} {self.split} questions ({self.scene_set}{seeds})"

    @cached_property
    def engine(self) -> Engine:
        """The loaded model."""
        return Engine.load(self.model)

    def run(self, setting: Setting, questions: Sequence[Question] | None = None) -> list[Result]:
        """Answer with the model, or take the answers that are on disk."""
        config = {"package": __version__, **self.engine.identity, **setting.to_dict()}
        return run(
            self.questions if questions is None else questions,
            self.engine.answering(setting),
            path=self.out / f"{self.split}-{self.scene_set}-{digest_of(config)}.jsonl",
            config=config,
            batch_size=self.batch_size,
            on_progress=progress_line(setting.name),
        )


def progress_line(name: str) -> Callable[[int, int], None]:
    """Return a callback that keeps one line on stderr up to date and ends it when all is done."""
    started, before = time.monotonic(), -1

    def show(num_done: int, total: int) -> None:
        nonlocal before
        before = num_done if before < 0 else before
        seconds = time.monotonic() - started
        rate = f", {seconds / (num_done - before):.2f} s each" if num_done > before else ""
        end = "\n" if num_done == total else ""
        print(f"\r{name}: {num_done}/{total} in {seconds:.0f} s{rate}   ", end=end, file=sys.stderr, flush=True)

    return show
