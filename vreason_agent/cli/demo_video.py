"""`vreason-agent demo-video OUT`: write a clip of the bundled model's world and print its question.

This module knows nothing of models.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path

from vreason_agent.cli.parser import UsageError, name, whole_number
from vreason_agent.errors import ConfigError, quote

DEFAULT_SEED = 1
ENDINGS = (".mp4", ".avi", ".mkv", ".webm")  # of `vreason_agent.tiny.render`, which is heavy to import
OWN_KEYS = {"seed", "split", "scene_set", "signature", "codec", "questions"}  # of the JSON beside a clip


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "demo-video",
        help="write a clip of the bundled model's world and print its question",
        description="Write a clip of the bundled model's world of colored shapes, and print a question about it and "
        "the true answer. The last line printed is the command that asks the question.",
    )
    parser.add_argument(
        "out", metavar="OUT", type=name, help="file to write, such as demo.mp4; its facts go into a .json beside it"
    )
    parser.add_argument("--seed", type=whole_number, default=DEFAULT_SEED, metavar="N", help="which clip (default: 1)")
    parser.add_argument(
        "--force", action="store_true", help="overwrite files that this command did not write (its own it replaces)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object: path, seed, question, options, answer, kind"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the clip and print what is asked about it."""
    check_place(Path(arguments.out), force=arguments.force)
    from vreason_agent.tiny.render import write_clip
    from vreason_agent.tiny.world import make_clip

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


def check_place(out: Path, *, force: bool) -> None:
    """Check that a clip and its facts can be written, and what that would overwrite.

    Raises:
        UsageError: if the name is none of a video file.
        ConfigError: if there is no such folder, a file may not be written, or one is there that this command did not
            write, or wrote for another clip, and `force` is not set.
    """
    if out.suffix.lower() not in ENDINGS:
        msg = f"cannot write {quote(str(out))}: choose an ending among {', '.join(ENDINGS)}, such as demo.mp4"
        raise UsageError(msg)
    folder, facts = out.parent, out.with_suffix(".json")
    if not folder.is_dir():
        msg = (
            f"cannot write {quote(str(out))}: there is no folder {quote(str(folder))}; make it: mkdir -p "
            f"{_quoted(folder)}"
        )
        raise ConfigError(msg)
    there = [path for path in (out, facts) if os.path.lexists(path)]
    if odd := [path for path in there if not path.is_file()]:
        msg = f"cannot write {quote(str(odd[0]))}: something that is no file is there; choose another name"
        raise ConfigError(msg)
    if denied := [path for path in (folder, *there) if not os.access(path, os.W_OK)]:
        msg = f"cannot write {quote(str(out))}: {quote(str(denied[0]))} may not be written; choose another folder"
        raise ConfigError(msg)
    if there and not force and (owner := described_by(facts)) != out.name:
        whose = "demo-video did not write it" if owner is None else f"is of the clip {quote(owner)}"
        msg = f"{quote(str(there[-1]))} exists and {whose}; choose another name, or overwrite it: --force"
        raise ConfigError(msg)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def described_by(facts: Path) -> str | None:
    """Return the name of the clip that a JSON of this command's is about; `None` of any other file."""
    try:
        written = json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not (isinstance(written, dict) and written.keys() >= OWN_KEYS):
        return None
    return str(written.get("video"))


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
