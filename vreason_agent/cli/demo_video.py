"""`vreason-agent demo-video OUT`: write a clip of the bundled model's world and print its question.

This module knows nothing of models.
"""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from vreason_agent.cli.parser import name, whole_number
from vreason_agent.errors import ConfigError

DEFAULT_SEED = 1


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "demo-video",
        help="write a clip of the bundled model's world and print its question",
        description="Write a clip of the bundled model's world of colored shapes, and print a question about it and "
        "the true answer. The last line printed is the command that asks the question.",
    )
    parser.add_argument("out", metavar="OUT", type=name, help="file to write, such as demo.mp4, with a JSON beside it")
    parser.add_argument("--seed", type=whole_number, default=DEFAULT_SEED, metavar="N", help="which clip (default: 1)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object: path, seed, question, options, answer, kind"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the clip and print what is asked about it."""
    folder = Path(arguments.out).parent
    if not folder.is_dir():
        remedy = f"make it: mkdir -p {shlex.quote(str(folder))}"
        msg = f"cannot write {arguments.out!r}: there is no folder {str(folder)!r}; {remedy}"
        raise ConfigError(msg)
    from vreason_agent.tiny.render import write_clip
    from vreason_agent.tiny.world import make_clip

    check_free(Path(arguments.out))
    clip = make_clip(arguments.seed)
    write_clip(arguments.out, clip)
    question = clip.questions[0]
    facts = {
        "path": arguments.out,
        "seed": arguments.seed,
        "question": question.question,
        "options": list(question.options),
        "answer": question.answer,
        "kind": question.kind,
    }
    print(json.dumps(facts) if arguments.json else describe(facts))
    return 0


def check_free(out: Path) -> None:
    """Check that nothing would be lost: only a clip of this command, known by the JSON beside it, is replaced.

    Raises:
        ConfigError: If OUT or the JSON beside it is another's file.
    """
    facts = out.with_suffix(".json")
    taken = [path for path in (facts, out) if path.exists()]
    if taken and not _is_of_this_command(facts):
        path = str(taken[0])
        msg = f"{path!r} exists and was not written by demo-video; give another OUT, or first: rm {shlex.quote(path)}"
        raise ConfigError(msg)


def _is_of_this_command(facts: Path) -> bool:
    try:
        known = json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(known, dict) and {"seed", "split", "scene_set", "signature"} <= known.keys()


def describe(facts: dict[str, object]) -> str:
    """Word the facts for a person; the last line is the command that asks the question."""
    path, question = str(facts["path"]), str(facts["question"])
    options = [str(option) for option in facts["options"]]  # type: ignore[attr-defined]
    typed = f"./{path}" if path.startswith("-") else path
    command = ["vreason-agent", "ask", typed, question]
    for option in options:
        command += ["--option", option]
    return "\n".join(
        [
            f"Wrote {path}",
            f"Question ({facts['kind']}): {question}",
            *([f"Options: {' / '.join(options)}"] if options else []),
            f"True answer: {facts['answer']}",
            "Ask it:",
            shlex.join(command),
        ]
    )
