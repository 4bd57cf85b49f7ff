"""Record the prompts and pixels that transformers' own processors make for the families of `family_folders`.

They need torchvision, which does not load beside a CPU build of torch. Its Python part needs but two operators to be
known by name, which this script defines before it is imported; none of them is called:

    python -m venv ENVIRONMENT --system-site-packages
    ENVIRONMENT/bin/pip install --no-deps torchvision num2words docopt
    ENVIRONMENT/bin/python -m tests.model.make_family_reference

It writes tests/model/data/families.json: for every family and clip the tokens, and of every tensor its shape, a digest
and 32 of its values.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import library as operators

from tests.model.family_folders import SPECIAL, ids_of, preprocessor_of, template_of
from tests.model.published import make_tokenizer
from tests.model.reference_frames import make_frames, sample_indices

TARGET = Path(__file__).parent / "data" / "families.json"
QUESTION = "What happens at 3.5 s? Ünïcode \U0001f600"
CLIPS: dict[str, tuple[tuple[float, ...], int, int]] = {
    "even": (tuple(0.5 * k for k in range(4)), 60, 90),
    "uneven, tall": ((0.0, 0.25, 3.0, 3.5, 11.0, 12.5), 97, 41),
    "minutes, one frame more": (tuple(17.5 * k for k in range(9)), 48, 48),
    "large": ((1.0, 2.0), 360, 640),
}
"""Name to times in seconds, height and width of the frames."""
FAMILIES = ("qwen3_5", "smolvlm", "internvl", "llava_onevision", "gemma4")
EXTRA = {
    "internvl": {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
                 "video_token": "<video>"},
    "gemma4": {"boi_token": "<|image>", "eoi_token": "<image|>", "image_token": "<|image|>", "audio_token": "<|audio|>",
               "boa_token": "<|audio>", "eoa_token": "<audio|>"},
}  # fmt: skip


def messages() -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": QUESTION}]}]


def make_processor(family: str, num_frames: int) -> Any:
    """The library's processor with the settings of the test folder."""
    import transformers

    special = [*ids_of(family)]
    fast = make_tokenizer(())
    fast.add_special_tokens(special)
    tokenizer: Any = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        additional_special_tokens=[*SPECIAL[family]],
        extra_special_tokens=EXTRA.get(family, {}),
    )  # fmt: skip
    settings, template = preprocessor_of(family), template_of(family)
    if family == "qwen3_5":
        low, high = settings["size"]["shortest_edge"], settings["size"]["longest_edge"]
        # The library's limits hold for the whole video, those of the folder for a frame.
        video = {**settings, "size": {"shortest_edge": low * num_frames, "longest_edge": high * num_frames}}
        return transformers.Qwen3VLProcessor(
            transformers.Qwen2VLImageProcessor(**settings), tokenizer,
            transformers.Qwen3VLVideoProcessor(**video, cap_pixels_per_frame=False), chat_template=template,
        )  # fmt: skip
    if family == "smolvlm":
        return transformers.SmolVLMProcessor(
            transformers.SmolVLMImageProcessor(**settings), tokenizer, transformers.SmolVLMVideoProcessor(**settings),
            image_seq_len=4,
        )  # fmt: skip
    if family == "internvl":
        return transformers.InternVLProcessor(
            transformers.GotOcr2ImageProcessor(**settings), tokenizer, transformers.InternVLVideoProcessor(**settings),
            image_seq_length=4, chat_template=template,
        )  # fmt: skip
    if family == "llava_onevision":
        return transformers.LlavaOnevisionProcessor(
            transformers.LlavaOnevisionImageProcessor(**settings), tokenizer,
            transformers.LlavaOnevisionVideoProcessor(**settings), num_image_tokens=25,
            vision_feature_select_strategy="full", chat_template=template,
        )  # fmt: skip
    return transformers.Gemma4Processor(
        transformers.Gemma4AudioFeatureExtractor(), transformers.Gemma4ImageProcessor(**settings), tokenizer,
        transformers.Gemma4VideoProcessor(**settings), chat_template=template,
    )  # fmt: skip


def record(family: str, times: tuple[float, ...], height: int, width: int) -> dict[str, Any]:
    from transformers.video_utils import VideoMetadata

    processor = make_processor(family, len(times))
    metadata = VideoMetadata(
        fps=1000, total_num_frames=round(1000 * times[-1]) + 1, frames_indices=[round(1000 * t) for t in times]
    )
    text = processor.apply_chat_template(messages(), tokenize=False, add_generation_prompt=True)
    clip = torch.from_numpy(make_frames(len(times), height, width)).permute(0, 3, 1, 2)
    out = processor(text=[text], videos=[clip], video_metadata=[metadata], do_sample_frames=False, return_tensors="pt")
    tensors = {name: value for name, value in out.items() if isinstance(value, torch.Tensor) and name != "input_ids"}
    return {"input_ids": out["input_ids"][0].tolist(), "tensors": {name: digest(t) for name, t in tensors.items()}}


def digest(tensor: torch.Tensor) -> dict[str, Any]:
    """Shape, digest and 32 values of a tensor."""
    values = tensor.numpy().astype("<f4")
    flat = values.reshape(-1)
    sample = [float(value) for value in flat[sample_indices(flat.size)[:32]]]
    return {"shape": list(values.shape), "sha256": hashlib.sha256(values.tobytes()).hexdigest(), "sample": sample}


def main() -> None:
    known = operators.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        known.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
    import transformers

    logging.getLogger("transformers").setLevel(logging.ERROR)
    made_with = {module.__name__: module.__version__ for module in (torch, torchvision, transformers, np)}
    cases = {family: {name: record(family, *clip) for name, clip in CLIPS.items()} for family in FAMILIES}
    TARGET.write_text(json.dumps({"made_with": made_with, "cases": cases}) + "\n")
    print(f"wrote {TARGET} ({TARGET.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
