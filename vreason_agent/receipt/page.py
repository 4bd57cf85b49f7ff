"""HTML pages that need nothing beside them: of a receipt, with the receipt itself inside for `replay`, and of a batch.

This module knows the fields of receipts and rows, and no model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from vreason_agent.confidence import SIGNAL_NAMES, Confidence, describe_confidence
from vreason_agent.errors import DependencyError
from vreason_agent.plots import html_image, plot_trace


def html_page(receipt: Mapping[str, Any]) -> str:
    """Return the page; without matplotlib it names the command in the plot's place."""
    result = receipt["result"]
    confidence = Confidence.from_dict(result["confidence"])
    signals = [(name, value) for name in SIGNAL_NAMES if (value := confidence.signal(name)) is not None]
    decisions = {decision["attempt"]: decision for decision in result["decisions"]}
    traces = {trace["attempt"]: trace for trace in receipt["traces"]}
    attempts = [
        {**attempt, "decision": decisions.get(attempt["attempt"]), "plot": _plot(traces.get(attempt["attempt"]))}
        for attempt in result["attempts"]
    ]
    return _render(
        "page.html",
        receipt=receipt,
        result=result,
        sentences=describe_confidence(confidence),
        signals=signals,
        attempts=attempts,
        quoted=result["best_guess"]["attempt"],
        config=next(iter(traces.values()))["trace"]["config"] if traces else {},
        data=Markup(_embeddable(receipt)),
    )


def batch_page(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of a batch.

    Args:
        title: What the run is called.
        rows: As `batch_run.flat_row` gives them.
    """
    failed = [row for row in rows if row["error"]]
    return _render(
        "batch.html",
        title=title,
        rows=rows,
        num_videos=len({row["video"] for row in rows}),
        num_answered=sum(row["answer"] is not None for row in rows),
        num_abstained=sum(row["decision"] == "abstain" for row in rows),
        num_failed=len(failed),
        has_probability=any(row["probability"] is not None for row in rows),
    )


def _render(name: str, **values: Any) -> str:
    folder = files(__package__)
    template = _ENVIRONMENT.from_string(folder.joinpath(name).read_text(encoding="utf-8"))
    return template.render(style=Markup(folder.joinpath("style.css").read_text(encoding="utf-8")), **values)


def _plot(trace: Mapping[str, Any] | None) -> Markup | None:
    if trace is None or not trace["trace"]["entropy"]:
        return None
    try:
        figure = plot_trace(trace["trace"], token_texts=trace["token_texts"])
    except DependencyError as exc:
        return Markup("<p>{}</p>").format(str(exc))
    return Markup(html_image(figure, alt="entropy of each token, its moving average, peak, phases and updates"))


def _embeddable(receipt: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script element it stands in."""
    return json.dumps(receipt, ensure_ascii=False).replace("<", "\\u003c")


def _format_number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_ENVIRONMENT = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_ENVIRONMENT.filters["number"] = _format_number
