"""V-Reason inside plain transformers: `hf_model.generate(**inputs, custom_generate=vreason_generate, ...)`.

Run: python examples/vreason_in_generate.py [--schedule switching] [--max-new-tokens 160]
Uses the bundled model on a clip of its world; nothing is downloaded. `load_model("Qwen/Qwen2.5-VL-3B-Instruct")` and
`demo_inputs` work the same way for a published Qwen-VL. Inputs from transformers' own `AutoProcessor`, as model cards
show, fit too; that class needs torchvision: pip install torchvision
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any, get_args

import torch

from vreason_agent.decoding import DecodingTrace, Schedule, VReasonConfig, vreason_generate
from vreason_agent.model import TextPart, Turn, VideoLanguageModel, VideoPart, load_model
from vreason_agent.model.vision import preprocess_prompt, vision_inputs
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip
from vreason_agent.video import pairs_plan, probe, read_frames


def main() -> None:
    parser = argparse.ArgumentParser(description="V-Reason inside transformers' generate")
    parser.add_argument("--schedule", default="switching", choices=get_args(Schedule))
    parser.add_argument("--max-new-tokens", type=int, default=160)
    arguments = parser.parse_args()
    model = load_model()
    inputs = demo_inputs(model)
    hf_model: Any = model.hf_model  # a transformers Qwen2_5_VLForConditionalGeneration, as from_pretrained gives it

    traces: list[DecodingTrace] = []
    ids = hf_model.generate(
        **inputs,
        max_new_tokens=arguments.max_new_tokens,
        do_sample=False,
        custom_generate=vreason_generate,
        vreason=VReasonConfig(schedule=arguments.schedule),
        trace_out=traces,
    )
    print(model.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :]))
    for name, value in traces[0].summary().items():
        print(f"{name}: {value}")


def demo_inputs(model: VideoLanguageModel) -> dict[str, torch.Tensor]:
    """Write a clip, read eight frames and make the keyword arguments of `generate` (a processor's work)."""
    clip = make_clip(seed=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.mp4"
        write_clip(path, clip)
        duration = probe(path).duration_seconds or 0.0
        frames = read_frames(path, pairs_plan(0.0, duration, num_frames=8).timestamps_seconds)
    question = clip.questions[0]
    text = f"{question.question}\nOptions: {' / '.join(question.options)}" if question.options else question.question
    video = VideoPart(frames.images, frames.timestamps_seconds)
    prompt = model.encoder.encode([Turn("user", (video, TextPart(text)))])
    vision = vision_inputs(model.family, model.hf_model, [preprocess_prompt(prompt, model.encoder)], model.device)
    return {
        "input_ids": prompt.input_ids.unsqueeze(0).to(model.device),
        "position_ids": prompt.position_ids.unsqueeze(1).to(model.device),
        **vision,
    }


if __name__ == "__main__":
    main()
