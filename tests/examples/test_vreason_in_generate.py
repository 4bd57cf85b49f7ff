"""The example that runs V-Reason inside transformers' own `generate`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "vreason_in_generate.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(("schedule", "steered"), [("switching", "True"), ("off", "False")])
def test_generate_runs_under_vreason_and_prints_its_trace(tmp_path: Path, schedule: str, steered: str) -> None:
    command = [sys.executable, str(EXAMPLE), "--schedule", schedule, "--max-new-tokens", "24"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert f"\nschedule: {schedule}\nsteered: {steered}\n" in done.stdout
    assert re.search(r"^num_tokens: [1-9]", done.stdout, re.MULTILINE)
    assert re.search(r"^num_video_tokens: [1-9]", done.stdout, re.MULTILINE)
