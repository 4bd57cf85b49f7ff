"""`vreason-agent decide VIDEO QUESTION --option ...`: choose among options, with a probability for each.

One look at the video, one thinking, and one forward pass over the options. This module prints what the decision model
says and knows how neither works.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.ask_model import check_model
from vreason_agent.cli.parser import (
    UsageError,
    add_model_options,
    add_question_options,
    add_reading_options,
    check_revision,
    frame_count,
    name,
    share,
)
from vreason_agent.cli.terminal import Progress, interruptible, printable, warnings_as_lines
from vreason_agent.errors import quote

if TYPE_CHECKING:
    from vreason_agent.decision_model import Decision

EXIT_ABSTAINED = 3
MAX_FRAMES = 32


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "decide",
        help="choose among options, with a probability for each",
        description="Choose among options about a video, with a probability for each of them. The model looks at the "
        "video once and thinks once; one more pass reads how likely it finds each option.",
        epilog="Keys of the --json object: answer, best_guess, probabilities, certainty, confidence, "
        "abstained_because, usage, error. certainty is (p_max - 1/n) / (1 - 1/n); how often such answers are right is "
        "confidence.probability, null without a calibrator that fits. Exit codes: 0 answered, 1 failed, 2 wrong "
        "arguments, 3 abstained, 130 interrupted.",
    )
    add_question_options(parser)
    add = parser.add_argument
    add("--frames", type=frame_count, default=MAX_FRAMES, metavar="N", help="frames to look at (default: 32)")
    add("--calibrator", type=name, metavar="FILE", help="file of vreason-agent calibrate (default: the shipped ones)")
    add("--min-probability", type=share, metavar="P", help="abstain where the answer is less probable than this")
    add_model_options(parser)
    add_reading_options(parser)
    add("--json", action="store_true", help="print one JSON object on stdout, and nothing else there")
    add("--quiet", action="store_true", help="no progress and no notes on stderr, only errors")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Decide and print; return 0, or 3 if the answer is not to be used."""
    _check(arguments)
    progress = Progress(quiet=arguments.quiet)
    check_model(arguments)
    progress.line("loading the model ...")
    from vreason_agent.chat_model import interrupted_by

    with interruptible() as stopped, interrupted_by(stopped), warnings_as_lines(progress):
        decision = _decide(arguments)
    report = to_json(decision, arguments.option)
    print(json.dumps(report) if arguments.json else to_text(report))
    return 0 if decision.abstained_because is None else EXIT_ABSTAINED


def _check(arguments: argparse.Namespace) -> None:
    from vreason_agent.answers import repeated_option

    options = arguments.option or []
    if len(options) < 2 or (repeated := repeated_option(options)) is not None:
        told = f"--option {quote(repeated)} is given more than once" if len(options) > 1 else "decide chooses"
        msg = f"{told}; give at least two different options: --option red --option blue"
        raise UsageError(msg)
    check_revision(arguments)


def _decide(arguments: argparse.Namespace) -> Decision:
    from vreason_agent.chat_model import ChatVReason
    from vreason_agent.decision_model import Choice, VReasonDecisionModel
    from vreason_agent.video import Isolation, ReadOptions

    given = {name: getattr(arguments, name) for name in ("model", "revision", "device", "dtype", "calibrator")}
    chat_model = ChatVReason(
        num_frames=arguments.frames,
        max_frames=max(MAX_FRAMES, arguments.frames),
        read_options=ReadOptions(backend=arguments.backend, isolation=Isolation() if arguments.isolate else None),
        **{name: value for name, value in given.items() if value is not None},
        **({"vreason": arguments.schedule} if arguments.schedule else {}),
    )
    model = VReasonDecisionModel(chat_model=chat_model, min_probability=arguments.min_probability)
    question = Choice(instructions=arguments.question, criteria=dict.fromkeys(arguments.option))
    return model.decide({"type": "video", "url": arguments.video}, question)


def to_json(decision: Decision, options: list[str]) -> dict[str, Any]:
    """Return the object that `decide --json` prints."""
    probabilities = {option: decision.probabilities[option] for option in options}
    guess = max(probabilities, key=lambda option: probabilities[option])
    return {
        "answer": guess if decision.abstained_because is None else None,
        "best_guess": guess,
        "probabilities": probabilities,
        "certainty": getattr(decision.answer, "confidence", None),
        "confidence": decision.confidence.to_dict(),
        "abstained_because": decision.abstained_because,
        "usage": dict(decision.usage),
        "error": None,
    }


def to_text(report: dict[str, Any]) -> str:
    """Return the same for a person."""
    from vreason_agent.confidence import Confidence, describe_confidence

    width = max(len(printable(option)) for option in report["probabilities"])
    rows = [f"  {printable(option):{width}}  {value:.3f}" for option, value in report["probabilities"].items()]
    headline = f"Answer: {printable(report['best_guess'])}"
    if report["answer"] is None:
        because = report["abstained_because"]
        headline = f"No answer: {because}. Best guess: {printable(report['best_guess'])}"
    told = [f"  {sentence}" for sentence in describe_confidence(Confidence.from_dict(report["confidence"]))]
    return "\n".join([headline, "", "Options (the model's own probabilities)", *rows, "", "Confidence", *told])
