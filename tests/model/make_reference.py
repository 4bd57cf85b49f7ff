"""Record what transformers' own Qwen-VL processors make of generated frames and conversations.

They need torchvision, which does not load beside a CPU build of torch, so this runs in a throw-away environment:

    python -m venv /tmp/reference && /tmp/reference/bin/pip install torch torchvision transformers==5.23.0 safetensors
    /tmp/reference/bin/python -m tests.model.make_reference

It writes tests/model/data/reference.json: of every case the grid, a digest of the patches and 64 of their values, and
of every conversation the tokens. The tests compare the built-in path with the record.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
import transformers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.video_utils import VideoMetadata

from tests.model.published import CHAT_TEMPLATE, make_tokenizer
from tests.model.reference_conversations import CONVERSATIONS, FRAME_PIXELS, Conversation
from tests.model.reference_frames import CASES, Case, make_frames, sample_indices, settings_of

TARGET = Path(__file__).parent / "data" / "reference.json"
PROCESSORS = {
    "qwen2_vl": (Qwen2VLProcessor, Qwen2VLVideoProcessor),
    "qwen2_5_vl": (Qwen2_5_VLProcessor, Qwen2VLVideoProcessor),
    "qwen3_vl": (Qwen3VLProcessor, Qwen3VLVideoProcessor),
}


def run_case(case: Case) -> dict[str, Any]:
    frames = make_frames(case.num_frames, case.height, case.width)
    patches, grid = (_image if case.processor.endswith("image") else _video)(case, frames)
    values = patches.numpy().astype("<f4")
    return {
        "grid": [int(n) for n in grid],
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
        "frames_sha256": hashlib.sha256(frames.tobytes()).hexdigest(),
        "sample": [float(value) for value in values.reshape(-1)[sample_indices(values.size)]],
    }


def _image(case: Case, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    low, high, _ = case.pixels
    processor = Qwen2VLImageProcessor(size={"shortest_edge": low, "longest_edge": high}, **settings_of(case.processor))
    out = processor(images=[torch.from_numpy(frames[0]).permute(2, 0, 1)], return_tensors="pt")
    return out["pixel_values"], out["image_grid_thw"][0]


def _video(case: Case, frames: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    low, high, total = case.pixels
    settings = settings_of(case.processor)
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)
    if case.processor == "qwen3_video":
        # This processor's limits hold for the whole video; even shares of them are limits per frame.
        size = {"shortest_edge": low, "longest_edge": high * case.num_frames}
        processor: Any = Qwen3VLVideoProcessor(size=size, cap_pixels_per_frame=False, **settings)
    else:
        processor = Qwen2VLVideoProcessor(
            size={"shortest_edge": low, "longest_edge": high}, cap_pixels_per_frame=total is not None, **settings
        )
        if total is not None:
            processor.max_video_tokens = total / 0.9 / 28**2
    out = processor(videos=[clip], do_sample_frames=False, return_tensors="pt")
    return out["pixel_values_videos"], out["video_grid_thw"][0]


def run_conversation(conversation: Conversation) -> dict[str, Any]:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=make_tokenizer(), eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    processor_class, video_class = PROCESSORS[conversation.model_type]
    settings = settings_of("qwen3" if conversation.model_type == "qwen3_vl" else "qwen2")
    low, high = FRAME_PIXELS
    num_frames = len(conversation.times)
    is_total = conversation.model_type == "qwen3_vl"
    size = {"shortest_edge": low, "longest_edge": high * (num_frames if is_total else 1)}
    processor = processor_class(
        Qwen2VLImageProcessor(size={"shortest_edge": low, "longest_edge": high}, **settings),
        tokenizer,
        video_class(size=size, cap_pixels_per_frame=False, **settings),
        chat_template=CHAT_TEMPLATE,
    )
    milliseconds = [round(1000 * time) for time in conversation.times]
    metadata = VideoMetadata(fps=1000, total_num_frames=conversation.duration_ms, frames_indices=milliseconds)
    text = processor.apply_chat_template(conversation.messages(), tokenize=False, add_generation_prompt=True)
    clip = torch.from_numpy(make_frames(num_frames, 60, 90)).permute(0, 3, 1, 2)
    pictures = [torch.from_numpy(make_frames(1, 70, 70)[0]).permute(2, 0, 1)] if conversation.has_image else None
    out = processor(
        text=[text],
        images=pictures,
        videos=[clip],
        video_metadata=[metadata],
        do_sample_frames=False,
        return_tensors="pt",
    )
    seconds = out.get("second_per_grid_ts")
    return {
        "input_ids": out["input_ids"][0].tolist(),
        "video_grid_thw": out["video_grid_thw"].tolist(),
        "second_per_grid_ts": None if seconds is None else [float(s) for s in seconds],
    }


def main() -> None:
    logging.getLogger("transformers").setLevel(logging.ERROR)
    record = {
        "made_with": {
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "transformers": transformers.__version__,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        },
        "cases": {name: run_case(case) for name, case in CASES.items()},
        "conversations": {name: run_conversation(conversation) for name, conversation in CONVERSATIONS.items()},
    }
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(record, indent=1) + "\n")
    print(f"wrote {TARGET} ({TARGET.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
