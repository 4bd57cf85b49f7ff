"""Memory of an answer as planned, over memory as measured, on the bundled model and a random one of 111 M parameters.

Run: python -m benchmarks.memory [--json PATH]
Every case runs in a process of its own. Measured is the growth of its resident set from after the imports to the peak
(Linux): loading, frames, prompt and answer. The plan knows the folder's files and the frames' sizes only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from vreason_agent.model.source import bundled_folder

CASES = {"bundled": [(4, 84), (16, 448), (32, 448), (64, 224)], "random": [(4, 84), (8, 448), (16, 448), (32, 448)]}
"""Frames, and the side of each, px."""
CASE = """
import ctypes, gc, sys
from pathlib import Path
import numpy as np, torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
from vreason_agent.decoding import VReasonConfig
from vreason_agent.model import GenerationRequest, SamplingParams, TextPart, Turn, VideoPart, load_model
from vreason_agent.model.memory_plan import PictureSize, planner_of

def resident(key):
    return 1024 * int(Path("/proc/self/status").read_text().partition(key)[2].split()[0])

model, num_frames, side = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sampling = SamplingParams(max_new_tokens=32)
plan = planner_of(model, device="cpu").plan([PictureSize(num_frames, side, side)], max_new_tokens=32)
torch.nn.functional.linear(torch.ones(64, 64), torch.ones(64, 64))
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
Path("/proc/self/clear_refs").write_text("5")  # forget the peak
before = resident("VmRSS:")
loaded = load_model(model, device="cpu")
images = np.random.default_rng(0).integers(0, 256, (num_frames, side, side, 3), np.uint8)
turn = Turn("user", (VideoPart(images, tuple(0.5 * k for k in range(num_frames))), TextPart("What?")))
loaded.generate([GenerationRequest((turn,), sampling, VReasonConfig())])
print(plan.total, resident("VmHWM:") - before)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare planned with measured memory")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    rows = []
    print(f"{'model':10}{'frames':>8}{'side px':>9}{'planned MB':>12}{'measured MB':>13}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, cases in CASES.items():
            model = write_model(Path(folder) / name, is_random=name == "random")
            for num_frames, side in cases:
                planned, measured = run_case(model, num_frames, side)
                rows.append([name, num_frames, side, planned, measured, planned / measured])
                print(
                    f"{name:10}{num_frames:8}{side:9}{planned / 1e6:12.0f}{measured / 1e6:13.0f}"
                    f"{planned / measured:8.2f}", flush=True,
                )  # fmt: skip
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def run_case(model: Path, num_frames: int, side: int) -> tuple[int, int]:
    """Return planned and measured bytes."""
    command = [sys.executable, "-W", "ignore", "-c", CASE, str(model), str(num_frames), str(side)]
    planned, measured = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(planned), int(measured)


def write_model(folder: Path, *, is_random: bool) -> Path:
    """Copy the bundled model with room for large frames; a random one gets another decoder and vision tower."""
    shutil.copytree(bundled_folder(), folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 32_768
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**processor, "max_pixels": 602_112}))
    if is_random:
        rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}
        sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "rope_parameters": rope}
        heads = {"num_attention_heads": 12, "num_key_value_heads": 4, "layer_types": ["full_attention"] * 12}
        config["text_config"] |= {**sizes, **heads}
        vision = {"depth": 4, "hidden_size": 256, "intermediate_size": 1024, "out_hidden_size": 768}
        config["vision_config"] |= {**vision, "fullatt_block_indexes": [3]}
        torch.manual_seed(0)
        hf_model = Qwen2_5_VLForConditionalGeneration(
            Qwen2_5_VLConfig(**{key: value for key, value in config.items() if key != "model_type"})
        )
        state = {
            name: weight.contiguous() for name, weight in hf_model.state_dict().items() if name != "lm_head.weight"
        }
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


if __name__ == "__main__":
    main()
