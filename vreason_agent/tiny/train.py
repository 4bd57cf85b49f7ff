"""``python -m vreason_agent.tiny.train``: make the bundled model's weights from nothing but the toy world.

Two phases, each resumable from its checkpoint in the run's folder: ``vision`` teaches the tower what lies in each cell,
``language`` teaches the rest over the frozen tower. ``export`` writes the weights folder.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

from vreason_agent.errors import ConfigError, quote
from vreason_agent.tiny.build import TINY, WEIGHTS, build_model, load_tokenizer, save_folder
from vreason_agent.tiny.curriculum import BASICS
from vreason_agent.tiny.frame_pairs import random_pairs
from vreason_agent.tiny.language_phase import train_language
from vreason_agent.tiny.pixels import patchify, see_pairs
from vreason_agent.tiny.tokenizer import save_tokenizer
from vreason_agent.tiny.training_loop import Run
from vreason_agent.tiny.vision_phase import train_vision
from vreason_agent.video import load_cv2

PHASES = ("vision", "language", "export")
VISION_RMS = 0.5  # of what the tower hands to the language model; text embeddings start near 0.03


def main(argv: Sequence[str] | None = None) -> int:
    """Run the phases asked for, one after the other."""
    args = _parser().parse_args(argv)
    load_cv2().setNumThreads(0)  # they fight with torch's
    torch.set_num_threads(args.threads)
    run = Path(args.run)
    run.mkdir(parents=True, exist_ok=True)
    for phase in args.phase or PHASES:
        {"vision": _vision, "language": _language, "export": _export}[phase](args, run)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m vreason_agent.tiny.train", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--run", default="runs/tiny", help="folder of checkpoints and log; a run found there is resumed"
    )
    parser.add_argument("--phase", action="append", choices=PHASES, help="run this phase only; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vision-steps", type=int, default=900)
    parser.add_argument("--language-steps", type=int, default=4000)
    parser.add_argument("--batch-tokens", type=int, default=6000)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--start-from", help="weights folder or checkpoint that a new language phase starts from")
    parser.add_argument(
        "--begin",
        type=float,
        help="place in the curriculum to begin at, 0 to 1 (default: 0; from weights, past the basics)",
    )
    parser.add_argument(
        "--average", action="append", metavar="CHECKPOINT", help="export the mean of these checkpoints; repeat it"
    )
    parser.add_argument("--out", default=str(WEIGHTS), help="folder that export writes")
    parser.add_argument(
        "--no-compile", action="store_true", help="skip torch.compile, which needs a C++ compiler and doubles the speed"
    )
    return parser


def fresh_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, built anew."""
    with tempfile.TemporaryDirectory() as folder:
        save_tokenizer(Path(folder))
        return load_tokenizer(Path(folder))


def even_out(model: Qwen2_5_VLForConditionalGeneration, *, seed: int) -> None:
    """Scale the tower's output to `VISION_RMS`, so that video and text enter the language model at like size."""
    frames = random_pairs(np.random.default_rng([1, 5, seed]), tempfile.gettempdir()).frames
    with torch.no_grad():
        seen = see_pairs(model.model.visual, patchify(torch.from_numpy(frames)))
        factor = VISION_RMS / seen.pow(2).mean().sqrt()
        last = model.model.visual.merger.mlp[2]
        last.weight.mul_(factor)
        last.bias.mul_(factor)


def _vision(args: argparse.Namespace, run: Path) -> None:
    model = build_model(fresh_tokenizer(), TINY, seed=args.seed)
    train_vision(
        model.model.visual,
        TINY.hidden,
        Run("vision", args.vision_steps, run / "vision.pt", run / "log.jsonl"),
        batch=192,
        learning_rate=1.5e-3,
        seed=args.seed,
    )


def _language(args: argparse.Namespace, run: Path) -> None:
    tokenizer = fresh_tokenizer()
    model = build_model(tokenizer, TINY, seed=args.seed)
    if args.start_from:
        model.load_state_dict(start_weights(Path(args.start_from)))
    else:
        model.model.visual.load_state_dict(_state(run / "vision.pt", "vision")["visual"])
        even_out(model, seed=args.seed)
    train_language(
        model,
        tokenizer.backend_tokenizer,
        Run("language", args.language_steps, run / "language.pt", run / "log.jsonl"),
        batch_tokens=args.batch_tokens,
        learning_rate=args.learning_rate,
        seed=args.seed,
        begin=(BASICS if args.start_from else 0.0) if args.begin is None else args.begin,
        is_compiled=not args.no_compile,
    )


def start_weights(place: Path) -> dict[str, torch.Tensor]:
    """Weights to start the language phase from: a folder as `export` writes it, or a checkpoint of that phase."""
    if not place.is_dir():
        return _state(place, "language")["model"]
    shipped = Qwen2_5_VLForConditionalGeneration.from_pretrained(place, dtype=torch.float32)
    return {name: tensor.clone() for name, tensor in shipped.state_dict().items()}


def _export(args: argparse.Namespace, run: Path) -> None:
    model = build_model(fresh_tokenizer(), TINY, seed=args.seed)
    model.load_state_dict(mean_weights([Path(place) for place in args.average or [run / "language.pt"]]))
    save_folder(model, Path(args.out))


def mean_weights(checkpoints: Sequence[Path]) -> dict[str, torch.Tensor]:
    """Mean of the weights of language checkpoints, which come of one run: it errs less than each of them."""
    states = [_state(checkpoint, "language")["model"] for checkpoint in checkpoints]
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def _state(checkpoint: Path, phase: str) -> dict[str, dict[str, torch.Tensor]]:
    if not checkpoint.exists():
        raise ConfigError(
            f"no checkpoint at {quote(str(checkpoint))}; make it with: python -m vreason_agent.tiny.train --phase "
            f"{phase}"
        )
    state: dict[str, dict[str, torch.Tensor]] = torch.load(checkpoint, weights_only=True)
    return state


if __name__ == "__main__":
    raise SystemExit(main())
