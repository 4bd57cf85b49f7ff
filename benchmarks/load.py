"""Time to load a model: the first time in a new process, its libraries imported or not, and again in a warm one.

Run: python benchmarks/load.py [--model tiny] [--repeats 5] [--json PATH]
Every figure is the median of `--repeats` loads; the bundled model's bar is two seconds for its own first load, which
leaves out importing torch and transformers, as every program that uses them pays for that once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

FRESH = """
import sys, time
began = time.perf_counter()
from vreason_agent.model import load_model, unload
import transformers.models.auto.modeling_auto, vreason_agent.model.loading
imported = time.perf_counter()
load_model(sys.argv[1], device="cpu")
loaded = time.perf_counter()
unload()
again = time.perf_counter()
load_model(sys.argv[1], device="cpu")
print(imported - began, loaded - imported, time.perf_counter() - again)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark loading")
    parser.add_argument("--model", default="tiny", help="tiny, a folder or a hub id")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    runs = [fresh_process(arguments.model) for _ in range(arguments.repeats)]
    names = ("import_seconds", "first_load_seconds", "warm_load_seconds")
    report = {name: statistics.median(times) for name, times in zip(names, zip(*runs, strict=True), strict=True)}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"{arguments.model}: " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in report.items()))


def fresh_process(model: str) -> list[float]:
    """Return the seconds of importing, of the first load and of a second one in a new process."""
    done = subprocess.run([sys.executable, "-c", FRESH, model], capture_output=True, text=True, check=True)
    return [float(seconds) for seconds in done.stdout.split()]


if __name__ == "__main__":
    main()
