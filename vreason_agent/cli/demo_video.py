"""`vreason-agent demo-video OUT`: write a clip of the bundled model's world and print its question.

This module knows nothing of models.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path

from vreason_agent.cli.parser import name, whole_number
from vreason_agent.errors import ConfigError

DEFAULT_SEED = 1
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
        ConfigError: if there is no such folder, a file may not be written, or one is there that this command did not
            write and `force` is not set.
    """
    if not out.name:
        msg = f"cannot write {str(out)!r}: it names no file; name one, such as demo.mp4"
        raise ConfigError(msg)
    folder, facts = out.parent, out.with_suffix(".json")
    if not folder.is_dir():
        msg = f"cannot write {str(out)!r}: there is no folder {str(folder)!r}; make it: mkdir -p {_quoted(folder)}"
        raise ConfigError(msg)
    there = [path for path in (out, facts) if os.path.lexists(path)]
    if odd := [path for path in there if not path.is_file()]:
        msg = f"cannot write {str(odd[0])!r}: something that is no file is there; choose another name"
        raise ConfigError(msg)
    if denied := [path for path in (folder, *there) if not os.access(path, os.W_OK)]:
        msg = f"cannot write {str(out)!r}: {str(denied[0])!r} may not be written; choose another folder"
        raise ConfigError(msg)
    if there and not force and not is_own(out, facts):
        msg = f"{str(there[0])!r} exists and demo-video did not write it; choose another name, or overwrite it: --force"
        raise ConfigError(msg)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def is_own(out: Path, facts: Path) -> bool:
    """Return whether the JSON beside a clip is this command's, of a clip of that name."""
    try:
        written = json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(written, dict) and written.keys() >= OWN_KEYS and written.get("video", out.name) == out.name


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
