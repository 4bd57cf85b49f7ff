"""How the cost of decoding grows: `OMP_NUM_THREADS=1 python -m benchmarks.growth [--models bundled random]`.

One size is varied at a time over four values: video tokens, tokens written, tokens between updates, rows of the batch.
A figure is this process's CPU time per step of the loop, the prompt's reading left out; every round takes all sizes in
turn, and the fastest round counts, as other processes only ever add. A log-log slope of 0 is a cost that does not grow,
1 one that doubles with the size. The last lines, medians with their range over the rounds, give the throughput of a
batch against a single row, and what rows save that end early. A step's floor are its products with the weights.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import GenerationConfig

from benchmarks.decode import MODES, VIDEO, load_bundled, make_prompt, make_random
from vreason_agent.decoding import VReasonConfig, decode

PAIRS, TOKENS, INTERVALS, BATCHES = (4, 16, 64, 256), (16, 32, 64, 128), (1, 2, 4, 8), (1, 2, 4, 8)
FLOOR, NUM_FLOOR_STEPS = "rows: the products with weights alone", 16
EARLY = "rows that end after 1/8, 2/8, ... 8/8"


def main() -> None:
    """Measure each model and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=["bundled", "random"], default=["bundled", "random"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=32, help="tokens to write, but where varied")
    arguments = parser.parse_args()
    print("| model | size | schedule | sizes | CPU ms per step | slope, or ratio |\n|:--|:--|:--|--:|--:|--:|")
    for name in arguments.models:
        model = (load_bundled() if name == "bundled" else make_random()).eval()
        runs = make_runs(model, arguments.tokens, PAIRS if name == "bundled" else (4, 8, 16, 32))
        rounds = [{key: run() for key, run in runs.items()} for _ in range(arguments.repeats + 1)][1:]
        report(name, rounds)


def make_runs(model: Any, num_tokens: int, pairs: Sequence[int]) -> dict[tuple[str, str, int], Callable[[], float]]:
    """Return what is to be measured: (size, schedule, value) to a function that returns seconds per step."""
    runs: dict[tuple[str, str, int], Callable[[], float]] = {}
    plain = make_prompt(model, 16)
    for mode in ("off", "switching"):
        for number in pairs:
            prompt = make_prompt(model, number)
            num_video = int((prompt["input_ids"] == VIDEO).sum())
            runs["video tokens", mode, num_video] = runner(model, prompt, mode, num_tokens)
        for number in TOKENS:
            runs["tokens written", mode, number] = runner(model, plain, mode, number)
        for number in BATCHES:
            runs["rows", mode, number] = runner(model, repeated(plain, number), mode, num_tokens)
        runs[EARLY, mode, 8] = runner(model, repeated(plain, 8), mode, num_tokens, ends_early=True)
    for number in BATCHES:
        runs[FLOOR, "", number] = matrix_products(model, number)
    for number in INTERVALS:
        runs["tokens per update", "switching", number] = runner(model, plain, "switching", num_tokens, interval=number)
    return runs


def runner(
    model: Any, prompt: Mapping[str, torch.Tensor], mode: str, num_tokens: int, *, interval: int | None = None,
    ends_early: bool = False,
) -> Callable[[], float]:  # fmt: skip
    """Return a function that decodes greedily and returns CPU seconds per step."""
    config: Any = MODES[mode] if interval is None else VReasonConfig(update_interval=interval)
    rules: Any = GenerationConfig
    rules = rules(max_new_tokens=num_tokens, do_sample=False, eos_token_id=[], pad_token_id=0)

    def run() -> float:
        started: list[float] = []

        def watch(record: Any) -> bool:
            if not started:  # the prompt has been read
                started.append(time.process_time())
            return ends_early and record.step + 1 >= num_tokens * (record.row + 1) // 8

        decode(
            model,
            input_ids=prompt["input_ids"],
            position_ids=prompt["position_ids"],
            video_mask=prompt["input_ids"] == VIDEO,
            prefill_inputs={name: prompt[name] for name in ("pixel_values_videos", "video_grid_thw")},
            config=config,
            generation_config=rules,
            on_token=watch,
        )
        return (time.process_time() - started[0]) / (num_tokens - 1)

    return run


def matrix_products(model: Any, num_rows: int) -> Callable[[], float]:
    """Return a function that returns CPU seconds of a step's products with weights, which no step can do without."""
    layers = [module for module in model.model.language_model.layers.modules() if isinstance(module, torch.nn.Linear)]
    weights = [module.weight.detach() for module in [*layers, model.lm_head]]
    given = {weight.shape[1]: torch.randn(num_rows, weight.shape[1]) for weight in weights}

    def run() -> float:
        started = time.process_time()
        for _ in range(NUM_FLOOR_STEPS):
            for weight in weights:
                torch.nn.functional.linear(given[weight.shape[1]], weight)
        return (time.process_time() - started) / NUM_FLOOR_STEPS

    return run


def repeated(prompt: Mapping[str, torch.Tensor], num_rows: int) -> dict[str, torch.Tensor]:
    """Return the prompt as a batch of equal rows."""
    wide = {name: tensor.repeat(num_rows, *[1] * (tensor.ndim - 1)) for name, tensor in prompt.items()}
    return wide | {"position_ids": prompt["position_ids"].repeat(1, num_rows, 1)}


def report(name: str, rounds: Sequence[Mapping[tuple[str, str, int], float]]) -> None:
    """Print a model's rows."""
    fastest = {key: 1e3 * min(one[key] for one in rounds) for key in rounds[0]}
    for size, mode in dict.fromkeys((size, mode) for size, mode, _ in fastest if size != EARLY):
        costs = {value: cost for (*key, value), cost in fastest.items() if key == [size, mode]}
        if size == "tokens per update":
            size = "tokens per update (what they add)"
            costs = {value: cost - fastest["rows", "off", 1] for value, cost in costs.items()}
        figures = " ".join(f"{cost:.2f}" for cost in costs.values())
        print(f"| {name} | {size} | {mode} | {' '.join(map(str, costs))} | {figures} | {slope(costs)} |")
    for mode in ("off", "switching"):
        gains = [8 * one["rows", mode, 1] / one["rows", mode, 8] for one in rounds]
        early = [one[EARLY, mode, 8] / one["rows", mode, 8] for one in rounds]
        print(f"| {name} | throughput of 8 rows, to that of one | {mode} | | | {spread(gains)} |")
        print(f"| {name} | time of 8 {EARLY}, to all in full | {mode} | | | {spread(early)} |", flush=True)


def slope(costs: Mapping[int, float]) -> str:
    """Return the least-squares slope of log cost over log size; empty where noise hides a cost."""
    if min(costs.values()) <= 0.0:
        return ""
    logs = [(math.log(size), math.log(cost)) for size, cost in costs.items()]
    return f"{statistics.linear_regression(*zip(*logs, strict=True))[0]:.2f}"


def spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
