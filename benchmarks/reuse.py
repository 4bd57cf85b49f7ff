"""What reading a video once saves: `OMP_NUM_THREADS=1 python -m benchmarks.reuse [--repeats 7]`.

Two models in turn, the bundled one and a random one of 117 M parameters: the time to the first token of a first
attempt, of a retry on the same frames and of a second question about them, and the whole ladder 4, 8, 16, 32 frames
beside one look at 32. Ratios are taken within each round; median and range over the rounds are printed. A first
attempt opens the file and reads its frames anew, as the first question about a video does.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration

from vreason_agent.chat.video_pool import VIDEO_POOL
from vreason_agent.chat_model import ChatVReason
from vreason_agent.model.source import bundled_folder
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip

RUNGS = (4, 8, 16, 32)


def main() -> None:
    """Measure both models and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reuse", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=48, help="longest answer")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        write_clip(clip, make_clip(1, "dev"))
        models = {"bundled": None, "random, 117 M": write_random(Path(folder) / "model")}
        print("| model | what | ratio, median (range) | bar |\n| :-- | :-- | --: | --: |")
        for name, model in models.items():
            chat_model = ChatVReason(model=model, device="cpu", dtype="float32", max_tokens=arguments.tokens)
            rounds = [measure(chat_model, str(clip)) for _ in range(arguments.repeats + 1)][1:]  # the first warms up
            for what, bar in (("retry", 0.10), ("second question", 0.20), ("ladder", 1.8), ("ladder without", None)):
                ratios = [one[what] for one in rounds]
                told = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
                print(f"| {name} | {what} | {told} | {'' if bar is None else bar} |")
            told = f"first token of the first attempt: {statistics.median(one['first'] for one in rounds):.3f} s"
            print(f"| {name} | {told}; pairs encoded by the ladder: {rounds[0]['encoded']} of 16 | | |", flush=True)


def measure(chat_model: ChatVReason, clip: str) -> dict[str, Any]:
    """Return the ratios of one round."""
    forget(chat_model)
    video = chat_model.open_video(clip, num_frames=32)
    first = first_token(video, "What color is the circle?")
    retry = first_token(video, "What color is the circle?")
    second = first_token(video, "How many squares are shown?")
    forget(chat_model)
    one_look, _ = look(chat_model, clip, 32)
    forget(chat_model)
    looks = [look(chat_model, clip, count) for count in RUNGS]
    apart = []
    for count in RUNGS:
        forget(chat_model)
        apart.append(look(chat_model, clip, count)[0])
    return {
        "first": first,
        "retry": retry / first,
        "second question": second / first,
        "ladder": sum(seconds for seconds, _ in looks) / one_look,
        "ladder without": sum(apart) / one_look,
        "encoded": sum(encoded for _, encoded in looks),
    }


def forget(chat_model: ChatVReason) -> None:
    """Start as with a video that was never seen."""
    chat_model.engine.reuse.clear()
    VIDEO_POOL.clear()


def first_token(video: Any, question: str) -> float:
    """Return the seconds to the first token of an answer, and read the rest of it."""
    started, first = time.perf_counter(), 0.0
    for _ in video.stream(question):
        first = first or time.perf_counter() - started
    return first


def look(chat_model: ChatVReason, clip: str, num_frames: int) -> tuple[float, int]:
    """Return the seconds of one whole look, and the pairs of frames that it encoded."""
    started = time.perf_counter()
    message = chat_model.open_video(clip, num_frames=num_frames).ask("What color is the circle?")
    return time.perf_counter() - started, message.response_metadata["reuse"]["encoded_patches"]


def write_random(folder: Path) -> str:
    """Write a random model of the bundled one's kind with 117 M parameters, and frames of four times the pixels."""
    shutil.copytree(bundled_folder(), folder, ignore=shutil.ignore_patterns("model.safetensors", "config.json"))
    given = json.loads((bundled_folder() / "config.json").read_text())
    text, vision = given["text_config"], given["vision_config"]
    text |= {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    text |= {"num_key_value_heads": 4, "layer_types": ["full_attention"] * 12}
    text["rope_parameters"] |= {"mrope_section": [8, 12, 12]}
    vision |= {"depth": 6, "hidden_size": 384, "intermediate_size": 1024, "num_heads": 6, "out_hidden_size": 768}
    vision |= {"fullatt_block_indexes": [2, 5]}
    (folder / "config.json").write_text(json.dumps(given))
    sizes = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(sizes | {"min_pixels": 28_224, "max_pixels": 28_800}))
    model: Any = Qwen2_5_VLForConditionalGeneration(AutoConfig.from_pretrained(folder))
    model.save_pretrained(folder)
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(saved | {"vreason_family": given["vreason_family"]}))
    return str(folder)


if __name__ == "__main__":
    main()
