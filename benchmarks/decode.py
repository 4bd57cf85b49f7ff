"""Time per token and peak memory of decoding: transformers' `generate`, the plain loop, and V-Reason.

Run: python benchmarks/decode.py [--models bundled random] [--tokens 64] [--repeats 5] [--json PATH]
Every mode decodes the same prompt in turn, `--repeats` times over; a mode's figure is its median, and ratios are taken
within one run, because times on a shared machine are not comparable between runs. Time per token is the difference
between a run of `--tokens` tokens and a run of one, so that reading the prompt is left out. Besides wall time there is
this process's CPU time, which other processes disturb far less. Peak memory is that of the device (CUDA) or the
resident set of this process (Linux), weights included.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers import GenerationConfig, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

import vreason_agent
from vreason_agent.decoding import VReasonConfig, decode

BUNDLED = Path(vreason_agent.__file__).parent / "tiny" / "weights"
MODES: dict[str, VReasonConfig | None] = {
    "generate": None,
    "off": VReasonConfig(schedule="off"),
    "switching": VReasonConfig(),
    "switching, every token": VReasonConfig(update_interval=1),
    "switching, current": VReasonConfig(apply_to="current"),
    "switching, lite": VReasonConfig(lite=True),
}
VISION_START, VISION_END, VIDEO = 3, 4, 7  # of the bundled model; the random one takes the same


class Cost(NamedTuple):
    """What one run took."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark decoding")
    parser.add_argument("--models", nargs="+", choices=["bundled", "random"], default=["bundled", "random"])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=16, help="temporal pairs of frames in the prompt")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    results = [measure(name, arguments) for name in arguments.models]
    report = {"environment": environment(arguments.device), "models": results}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report))


def environment(device: str) -> dict[str, Any]:
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
    }


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Time every mode of one model in turn and print its table."""
    model = load_bundled() if name == "bundled" else make_random()
    model = model.eval().to(arguments.device)
    prompt = make_prompt(model, arguments.pairs)
    runs = {mode: runner(model, prompt, config) for mode, config in MODES.items()}
    costs: dict[str, list[Cost]] = {mode: [] for mode in MODES}
    for repeat in range(arguments.repeats + 1):
        for mode, run in runs.items():
            cost = cost_per_token(run, arguments.tokens, arguments.device)
            if repeat > 0:  # the first round warms up
                costs[mode].append(cost)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    num_video = int((prompt["input_ids"] == VIDEO).sum())
    rows = [row(mode, costs) for mode in MODES]
    print(f"\n{name}: {num_parameters / 1e6:.1f} M parameters, {num_video} video tokens, {arguments.tokens} new tokens")
    heads = ("ms/token", "x generate", "CPU ms/token", "x generate", "peak MiB", "x generate")
    print(f"{'mode':24}" + "".join(f"{head:>14}" for head in heads))
    for line in rows:
        figures = [line["wall_ms_per_token"], line["wall_ratio"], line["cpu_ms_per_token"], line["cpu_ratio"]]
        figures += [line["peak_bytes"] / 2**20, line["memory_ratio"]]
        print(f"{line['mode']:24}" + "".join(f"{figure:14.3f}" for figure in figures))
    return {"model": name, "parameters": num_parameters, "video_tokens": num_video, "modes": rows}


def row(mode: str, costs: dict[str, list[Cost]]) -> dict[str, Any]:
    """Summarize a mode; each round is compared with the `generate` of the same round, as load changes slowly."""
    own, base = costs[mode], costs["generate"]
    peak = max(cost.peak_bytes for cost in own)
    return {
        "mode": mode,
        "wall_ms_per_token": 1e3 * statistics.median(cost.wall_seconds for cost in own),
        "wall_ms_per_token_all": [1e3 * cost.wall_seconds for cost in own],
        "wall_ratio": statistics.median(a.wall_seconds / b.wall_seconds for a, b in zip(own, base, strict=True)),
        "cpu_ms_per_token": 1e3 * statistics.median(cost.cpu_seconds for cost in own),
        "cpu_ratio": statistics.median(a.cpu_seconds / b.cpu_seconds for a, b in zip(own, base, strict=True)),
        "peak_bytes": peak,
        "memory_ratio": peak / max(cost.peak_bytes for cost in base),
    }


def runner(model: Any, prompt: dict[str, torch.Tensor], config: VReasonConfig | None) -> Callable[[int], None]:
    """Return a function that decodes a number of greedy tokens."""

    def rules(num_tokens: int) -> Any:
        config: Any = GenerationConfig
        return config(max_new_tokens=num_tokens, do_sample=False, eos_token_id=[], pad_token_id=0)

    def generate(num_tokens: int) -> None:
        model.generate(**prompt, generation_config=rules(num_tokens))

    def ours(num_tokens: int) -> None:
        decode(
            model,
            input_ids=prompt["input_ids"],
            position_ids=prompt["position_ids"],
            video_mask=prompt["input_ids"] == VIDEO,
            prefill_inputs={name: prompt[name] for name in ("pixel_values_videos", "video_grid_thw")},
            config=config,
            generation_config=rules(num_tokens),
        )

    return generate if config is None else ours


def cost_per_token(run: Callable[[int], None], num_tokens: int, device: str) -> Cost:
    """Return seconds per token, without the first, and the peak of the longer run."""
    one, all_tokens = timed(run, 1, device), timed(run, num_tokens, device)
    steps = num_tokens - 1
    wall = (all_tokens.wall_seconds - one.wall_seconds) / steps
    return Cost(wall, (all_tokens.cpu_seconds - one.cpu_seconds) / steps, all_tokens.peak_bytes)


def timed(run: Callable[[int], None], num_tokens: int, device: str) -> Cost:
    """Return what one run takes in total."""
    gc.collect()
    reset_peak(device)
    started, cpu_started = time.perf_counter(), time.process_time()
    run(num_tokens)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return Cost(time.perf_counter() - started, time.process_time() - cpu_started, peak_bytes(device))


def reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    elif platform.system() == "Linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # 5: forget the peak of the resident set


def peak_bytes(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated())
    if platform.system() != "Linux":
        return 0
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def load_bundled() -> Any:
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(BUNDLED, dtype=torch.float32)


def make_random() -> Any:
    """A random Qwen2.5-VL whose last layer and head are a seventh of a decode step, as in the published 7B."""
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}
    text: dict[str, Any] = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
    }
    text |= {"num_key_value_heads": 4, "vocab_size": 8192, "rope_parameters": rope, "tie_word_embeddings": False}
    text |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    vision: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 4,
        "out_hidden_size": 768,
    }
    vision |= {"fullatt_block_indexes": [1], "tokens_per_second": 8}
    ids = {"video_token_id": VIDEO, "vision_start_token_id": VISION_START, "vision_end_token_id": VISION_END}
    config: Any = Qwen2_5_VLConfig
    return Qwen2_5_VLForConditionalGeneration(config(text_config=text, vision_config=vision, image_token_id=6, **ids))


def make_prompt(model: Any, num_pairs: int) -> dict[str, torch.Tensor]:
    """Make a prompt with a video of noise: one vision block of 9 or, in the random model, 36 tokens per pair."""
    side = 6 if model.config.text_config.hidden_size <= 256 else 12  # patches; 2 x 2 of them are a token
    generator = torch.Generator().manual_seed(0)
    block = [50, VISION_START, *[VIDEO] * (side * side // 4), VISION_END]
    ids = torch.tensor([[40, 41, 42, *block * num_pairs, *range(60, 80)]])
    grids = torch.tensor([[1, side, side]] * num_pairs)
    vision = model.config.vision_config
    pixels = torch.randn(
        num_pairs * side * side, 3 * vision.temporal_patch_size * vision.patch_size**2, generator=generator
    )
    types = 2 * (ids == VIDEO).int()
    positions, _ = model.model.get_rope_index(ids, mm_token_type_ids=types, video_grid_thw=grids)
    inputs = {"input_ids": ids, "position_ids": positions, "mm_token_type_ids": types}
    inputs |= {"pixel_values_videos": pixels, "video_grid_thw": grids}
    return {name: tensor.to(model.device) for name, tensor in inputs.items()}


if __name__ == "__main__":
    main()
