"""`vreason-agent ui`: a page in the browser to drop a video on.

This module knows how the page is served and not what is on it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from vreason_agent.cli.parser import (
    add_model_options,
    add_reading_options,
    check_extra,
    check_revision,
    whole_number,
)
from vreason_agent.cli.terminal import Progress

SAMPLE_SEED = 1


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "ui",
        help="a page in the browser to drop a video on",
        description="Open a page on this machine: drop a video or take the sample, ask, and watch tokens, attempts "
        "and entropy; two schedules can be compared side by side. Needs the extra ui. Ctrl-C ends it.",
    )
    add = parser.add_argument
    add("--port", type=whole_number, default=7860, metavar="N", help="port: http://127.0.0.1:N (default: 7860)")
    add("--open", action="store_true", help="open the page in the browser")
    add_model_options(parser)
    add_reading_options(parser)
    add("--quiet", action="store_true", help="no notes on stderr, only errors")
    parser.set_defaults(run=run, seed=None)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until interrupted."""
    check_extra("ui", "gradio", "matplotlib")
    check_revision(arguments)
    progress = Progress(quiet=arguments.quiet)
    progress.line("loading the model ...")
    from vreason_agent.ask_page import STYLE, create_page
    from vreason_agent.cli.ask_model import make_chat_model, model_facts

    chat_model = make_chat_model(arguments)
    model = model_facts(chat_model)
    progress.line(f"model: {model['name']} on {model['device']}")
    with tempfile.TemporaryDirectory(prefix="vreason-sample-") as folder:
        page = create_page(chat_model, sample=write_sample(Path(folder)))
        page.queue(default_concurrency_limit=2)
        progress.line(f"the page: http://127.0.0.1:{arguments.port} (Ctrl-C ends)")
        page.launch(
            server_name="127.0.0.1",
            server_port=arguments.port,
            share=False,
            inbrowser=arguments.open,
            quiet=True,
            css=STYLE,
            allowed_paths=[folder],
            footer_links=[],
        )
    return 0


def write_sample(folder: Path) -> tuple[str, str, list[str]]:
    """Write a clip that browsers play; return its path, its question and the options."""
    from vreason_agent.tiny.render import write_clip
    from vreason_agent.tiny.world import make_clip

    clip = make_clip(SAMPLE_SEED)
    path = folder / "sample.webm"
    write_clip(path, clip)
    question = clip.questions[0]
    return os.fspath(path), question.question, list(question.options)
