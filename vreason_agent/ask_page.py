"""A page to drop a video on: ask, watch tokens and attempts come, see frames and entropy, take the receipt along.

Needs the extra `ui` (Gradio); nothing is loaded from another machine but what Gradio's own page asks for. This module
knows the events of `vreason_agent.qa` and no model.
"""

from __future__ import annotations

import html
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vreason_agent.confidence import Confidence, describe_confidence
from vreason_agent.errors import DependencyError, VReasonError
from vreason_agent.plots import html_image, plot_trace
from vreason_agent.qa import VideoQuestion, answer_events
from vreason_agent.receipt import ReceiptMaker, html_page

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
try:
    import gradio as gr
except ImportError as exc:
    raise DependencyError("the page needs Gradio; run: pip install 'vreason-agent[ui]'") from exc

SCHEDULES = ("switching", "alternating", "minimize", "maximize", "off")
NONE = "none"
SECONDS_BETWEEN_UPDATES = 0.15
STYLE = """
.vr-answer { font-size: 1.5rem; font-weight: 600; margin: 0 } .vr-soft { opacity: .75; font-size: .875rem }
.vr-frames { display: grid; grid-template-columns: repeat(auto-fill, minmax(5.5rem, 1fr)); gap: .4rem; margin: 0 }
.vr-frames figure { margin: 0; font-size: .75rem }
.vr-frames img { width: 100%; border-radius: 4px; border: 2px solid transparent }
.vr-frames .cited img { border-color: #ea580c } .vr-plot img { width: 100%; background: #fff; border-radius: 4px }
.vr-error { border-left: 4px solid #dc2626; padding: .5rem .75rem }
.vr-attempts { padding-left: 1.2rem; margin: .25rem 0 }
"""


def create_page(chat_model: Any, *, sample: tuple[str, str, list[str]] | None = None) -> Any:
    """Return the page as Gradio's `Blocks`, to `launch`.

    Args:
        chat_model: A `ChatVReason`.
        sample: A video's path, a question about it and its options, for the button that fills them in.
    """
    with gr.Blocks(title="vreason-agent", analytics_enabled=False) as page:
        gr.Markdown("# Ask a video\nA local model answers, and shows what it looked at and how sure its words were.")
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                video = gr.Video(label="Video", sources=["upload"], height=260)
                question = gr.Textbox(label="Question", placeholder="What happens first?", elem_id="question")
                options = gr.Textbox(label="Possible answers, one per line (none: open question)", lines=3)
                with gr.Accordion("Options", open=False):
                    frames = gr.Dropdown([2, 4, 8, 16, 32], value=4, label="Frames of the first attempt")
                    most = gr.Dropdown([4, 8, 16, 32, 64], value=32, label="Most frames")
                    first = gr.Dropdown(list(SCHEDULES), value="switching", label="Schedule")
                    second = gr.Dropdown([NONE, *SCHEDULES], value=NONE, label="Second schedule, side by side")
                with gr.Row():
                    taken = gr.Button("Take the sample", visible=sample is not None)
                    asked = gr.Button("Ask", variant="primary", elem_id="ask")
            with gr.Column(scale=2, min_width=320), gr.Row():
                shown = [_make_column(name) for name in ("First", "Second")]
        outputs = [part for column in shown for part in column]
        inputs = [video, question, options, frames, most, first, second]
        gr.on([asked.click, question.submit], _asker(chat_model), inputs, outputs, show_progress="hidden")
        if sample is not None:
            path, text, choices = sample
            taken.click(lambda: (path, text, "\n".join(choices)), None, [video, question, options])
    return page


def _make_column(name: str) -> tuple[Any, Any, Any, Any]:
    with gr.Column(min_width=300, visible=name == "First") as column:
        answer = gr.HTML("<p class='vr-soft'>The answer comes here.</p>", elem_id=f"answer-{name.lower()}")
        words = gr.Textbox(label="What the model writes", lines=6, max_lines=10, interactive=False)
        receipt = gr.DownloadButton("Receipt", visible=False, size="sm")
    return column, answer, words, receipt


@dataclass
class _View:
    """What one column shows, built up from events."""

    schedule: str
    words: str = ""
    status: str = "Loading …"
    attempts: list[str] = field(default_factory=list)
    plot: str = ""
    ending: str = ""
    receipt: str | None = None

    def add(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "token":
            self.words += event["text"]
        elif kind == "sample":
            self.status = f"Attempt {event['attempt'] + 1}: looking at {event['num_frames']} frames …"
            self.words = ""
        elif kind == "trace":
            figure = plot_trace(event["trace"], token_texts=event["token_texts"])
            self.plot = html_image(figure, alt="entropy of each token, its moving average, peak, phases and updates")
        elif kind == "answer":
            self.attempts.append(f"{event['num_frames']} frames: {event['answer']}")
        elif kind == "judge":
            self.attempts[-1] += f" \u2014 {event['action'].replace('_', ' ')}: {event['reason']}"

    def end(self, receipt: Mapping[str, Any], folder: str) -> None:
        result = receipt["result"]
        said = result["answer"] if result["answer"] is not None else "No answer: the model abstained."
        guess = result["best_guess"]["answer"]
        lines = [f"<p class='vr-answer'>{html.escape(str(said))}</p>"]
        if result["answer"] is None and guess is not None:
            lines.append(f"<p>Best guess: <strong>{html.escape(guess)}</strong></p>")
        lines += [f"<p class='vr-soft'>{html.escape(s)}</p>" for s in describe_confidence(_confidence(result))]
        pictures = "".join(
            f"<figure class='{'cited' if one['is_cited'] else ''}'><img alt='frame at {one['seconds']:.2f} seconds' "
            f"src='data:image/jpeg;base64,{one['jpeg']}'>{one['seconds']:.2f} s{' · cited' * one['is_cited']}</figure>"
            for one in receipt["pictures"]
        )
        self.ending, self.status = f"{''.join(lines)}<div class='vr-frames'>{pictures}</div>", ""
        self.receipt = str(Path(folder) / f"receipt-{self.schedule}-{time.time_ns()}.html")
        Path(self.receipt).write_text(html_page(receipt), encoding="utf-8")

    def fail(self, error: Exception) -> None:
        self.status = ""
        self.ending = f"<div class='vr-error' role='alert'>{html.escape(str(error))}</div>"

    def updates(self) -> list[Any]:
        status = f"<p role='status'>{html.escape(self.status)}</p>" if self.status else ""
        attempts = "".join(f"<li>{html.escape(attempt)}</li>" for attempt in self.attempts)
        listed = f"<ol class='vr-attempts'>{attempts}</ol>" if attempts else ""
        title = f"<p class='vr-soft'>schedule: {html.escape(self.schedule)}</p>"
        page = f"{title}{status}{self.ending}<div class='vr-plot'>{self.plot}</div>{listed}"
        button = gr.DownloadButton(value=self.receipt, visible=self.receipt is not None)
        return [gr.Column(visible=True), page, self.words, button]


def _confidence(result: Mapping[str, Any]) -> Confidence:
    return Confidence.from_dict(result["confidence"])


def _asker(chat_model: Any) -> Any:
    folder = tempfile.mkdtemp(prefix="vreason-ui-")

    def ask(
        video: str | None, question: str, options: str, frames: int, most: int, first: str, second: str
    ) -> Iterator[list[Any]]:
        views = [_View(name) for name in (first, second) if name != NONE]
        hidden = [gr.Column(visible=False), "", "", gr.DownloadButton(visible=False)]

        def updates() -> list[Any]:
            parts = [part for view in views for part in view.updates()]
            return parts if len(views) == 2 else [*parts, *hidden]

        for view in views:
            yield updates()
            try:
                yield from _answered(chat_model, view, _read(video, question, options, frames, most), folder, updates)
            except VReasonError as exc:
                view.fail(exc)
            yield updates()

    return ask


def _answered(chat_model: Any, view: _View, question: VideoQuestion, folder: str, updates: Any) -> Iterator[Any]:
    from vreason_agent.model import describe_model

    model = chat_model.for_call(None, {"vreason": view.schedule, "trace": "full", "logprobs": True})
    facts = {**describe_model(model.engine), "weights_digest": model.engine.weights_digest}
    maker, last = ReceiptMaker(question, facts), 0.0
    for event in maker.watch(answer_events(model, question)):
        view.add(event)
        if event["event"] != "token" or time.monotonic() - last > SECONDS_BETWEEN_UPDATES:
            last = time.monotonic()
            yield updates()
    view.end(maker.make(), folder)


def _read(video: str | None, question: str, options: str, frames: int, most: int) -> VideoQuestion:
    if not video:
        raise VReasonError("There is no video yet: drop one on the page, or take the sample.")
    if not (question or "").strip():
        raise VReasonError("There is no question yet: write one, such as 'What happens first?'")
    choices = [line.strip() for line in (options or "").splitlines() if line.strip()]
    return VideoQuestion(
        video=video, question=question, options=choices, num_frames=frames, max_frames=max(int(frames), int(most))
    )
