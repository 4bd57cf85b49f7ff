"""Steering that can be seen: V-Reason's step made large enough to move the entropy, and what that does to answers.

Run: python examples/steering_visible.py [--clips 18] [--plot traces.html]
The bundled model answers the same questions about clips of its world under several schedules. The default step changes
fewer than one answer in a hundred; here every token is updated, from the second on, by eight steps that act on it at
once, and `eps` keeps the step small where the entropy has hardly a gradient. Printed are the entropies of one
generation and, for all clips, the mean entropy and the answers. `docs/evidence.md` has a larger comparison.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import fmean

from vreason_agent.decoding import VReasonConfig
from vreason_agent.model import Generation, GenerationRequest, SamplingParams, TextPart, Turn, VideoPart, load_model
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip
from vreason_agent.video import pairs_plan, probe, read_frames

STRONG = {
    "update_interval": 1,
    "warmup_steps": 1,
    "num_optim_steps": 8,
    "learning_rate": 0.2,
    "eps": 0.001,
    "apply_to": "current",
}
LONGEST = SamplingParams(max_new_tokens=96)
CONFIGS = {
    "off": VReasonConfig(schedule="off"),
    "minimize": VReasonConfig(schedule="minimize", **STRONG),  # type: ignore[arg-type]
    "switching": VReasonConfig(schedule="switching", **STRONG),  # type: ignore[arg-type]
    "maximize": VReasonConfig(schedule="maximize", **STRONG),  # type: ignore[arg-type]
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make V-Reason's steering visible")
    parser.add_argument("--clips", type=int, default=18, help="number of clips, one question each (default: 18)")
    parser.add_argument("--show", type=int, default=4, help="which clip's entropies are printed (default: 4)")
    parser.add_argument("--plot", type=Path, help="also plot that clip's traces to this HTML file (extra plots)")
    arguments = parser.parse_args()
    model = load_model()
    turns, truths = questions(arguments.clips)
    runs = {
        name: model.generate([GenerationRequest((turn,), LONGEST, config) for turn in turns])
        for name, config in CONFIGS.items()
    }
    shown = {name: run[arguments.show % len(run)] for name, run in runs.items()}
    show_trace(shown)
    print(f"\n{'schedule':10} {'mean entropy':>12} {'texts changed':>14} {'answers right':>14}")
    for name, run in runs.items():
        entropy = fmean(fmean(one.trace.entropy) for one in run)
        changed = sum(one.token_ids != plain.token_ids for one, plain in zip(run, runs["off"], strict=True))
        right = sum(model.answer_parser(one.text, ()).answer == truth for one, truth in zip(run, truths, strict=True))
        print(f"{name:10} {entropy:12.4f} {changed:8} of {len(run):2} {right:8} of {len(run):2}")
    if arguments.plot:
        write_plots(arguments.plot, shown)


def questions(num_clips: int) -> tuple[list[Turn], list[str]]:
    """Write clips of the demo world, read eight frames of each, and return their questions and true answers."""
    turns, truths = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(num_clips):
            path, clip = Path(folder) / f"{seed}.mp4", make_clip(seed)
            write_clip(path, clip)
            plan = pairs_plan(0.0, probe(path).duration_seconds or 0.0, num_frames=8)
            frames = read_frames(path, plan.timestamps_seconds)
            video = VideoPart(frames.images, frames.timestamps_seconds)
            turns.append(Turn("user", (video, TextPart(clip.questions[0].text))))
            truths.append(clip.questions[0].answer)
    return turns, truths


def show_trace(generations: dict[str, Generation]) -> None:
    """Print the entropies of plain decoding's tokens where any schedule has more than a hundredth of a nat."""
    plain = generations["off"]
    print("one clip; tokens at which the entropy under some schedule exceeds 0.01 nats:")
    print(f"{'token':>12} " + " ".join(f"{name:>10}" for name in generations))
    for step, token in enumerate(plain.token_texts):
        values = [one.trace.entropy[step] if step < len(one.trace.entropy) else None for one in generations.values()]
        if any(value is not None and value > 0.01 for value in values):
            print(
                f"{token.strip() or repr(token):>12} "
                + " ".join("-" * 10 if v is None else f"{v:10.3f}" for v in values)
            )


def write_plots(path: Path, generations: dict[str, Generation]) -> None:
    from vreason_agent.plots import html_image, plot_trace

    images = [
        html_image(plot_trace(one.trace, token_texts=one.token_texts, title=name), alt=f"trace of {name}")
        for name, one in generations.items()
    ]
    path.write_text("<!doctype html><meta charset=utf-8>" + "\n".join(images), encoding="utf-8")


if __name__ == "__main__":
    main()
