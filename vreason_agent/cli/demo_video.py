"""`vreason-agent demo-video OUT`: write a generated clip and print its question.

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
        help="write a generated clip with a question for the bundled model",
        description="Write a generated clip of colored shapes, and print a question about it and the true answer. The "
        "last line printed is the command that asks the question.",
    )
    parser.add_argument(
        "out", metavar="OUT", type=name, help="file to write, such as demo.mp4; questions and answers go to a .json"
    )
    parser.add_argument("--seed", type=whole_number, default=DEFAULT_SEED, metavar="N", help="which clip (default: 1)")
    parser.add_argument("--force", action="store_true", help="overwrite files even if demo-video did not write them")
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
    try:
        write_clip(arguments.out, clip)
    except OSError:  # a full disk, say: half a clip must not look like one
        remove_clip(Path(arguments.out))
        raise
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


def remove_clip(out: Path) -> None:
    """Remove a clip and its facts."""
    for path in (out, out.with_suffix(".json")):
        path.unlink(missing_ok=True)


def check_place(out: Path, *, force: bool) -> None:
    """Check that a clip and its facts can be written, and what that would overwrite.

    Raises:
        UsageError: if the name has no ending of a video file.
        ConfigError: if the folder does not exist, a file cannot be written, or one exists that this command did not
            write, or wrote for another clip, and `force` is not set.
    """
    if out.suffix.lower() not in ENDINGS:
        msg = f"cannot write {quote(str(out))}: choose an ending among {', '.join(ENDINGS)}, such as demo.mp4"
        raise UsageError(msg)
    folder, facts = out.parent, out.with_suffix(".json")
    if not folder.is_dir():
        msg = (
            f"cannot write {quote(str(out))}: the folder {quote(str(folder))} does not exist; create it: "
            f"mkdir -p {_quoted(folder)}"
        )
        raise ConfigError(msg)
    there = [path for path in (out, facts) if os.path.lexists(path)]
    if odd := [path for path in there if not path.is_file()]:
        msg = f"cannot write {quote(str(odd[0]))}: it exists and is not a file; choose another name"
        raise ConfigError(msg)
    if denied := [path for path in (folder, *there) if not os.access(path, os.W_OK)]:
        msg = f"cannot write {quote(str(out))}: {quote(str(denied[0]))} is write-protected; choose another folder"
        raise ConfigError(msg)
    if there and not force and (owner := clip_described_by(facts)) != out.name:
        whose = "was not written by demo-video" if owner is None else f"belongs to the clip {quote(owner)}"
        msg = f"{quote(str(there[-1]))} exists and {whose}; choose another name, or add --force to overwrite it"
        raise ConfigError(msg)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def clip_described_by(facts: Path) -> str | None:
    """Return the name of the clip that a JSON file of this command describes; `None` for any other file."""
    try:
        written = json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not (isinstance(written, dict) and written.keys() >= OWN_KEYS):
        return None
    return str(written.get("video"))


def describe(facts: dict[str, object]) -> str:
    """Return the facts as text for a person; the last line is the command that asks the question."""
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
