"""Plots of traces and confidences: plain numbers in, a matplotlib `Figure` out.

No figure touches matplotlib's global state, so they can be drawn from any thread and beside a user's own plots. This
module knows no model, no trace class and no dataset; it needs the extra `plots`.
"""

from __future__ import annotations

import base64
import html
import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from vreason_agent.errors import ConfigError, DependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GRAY, GRID = "#1f2937", "#6b7280", "#e5e7eb"
BLUE, ORANGE, GREEN, PINK = "#2563eb", "#c2410c", "#047857", "#be185d"
PHASE_COLORS = {"exploration": "#fdebd3", "exploitation": "#dbeafe"}
TOKENS_PER_ROW = 60
MAX_ROWS = 8
MAX_LABEL_CHARS = 12
_RULES: Any = {
    "svg.fonttype": "none",  # text stays text: small files that can be searched
    "svg.hashsalt": "vreason-agent",  # the same numbers give the same bytes
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.edgecolor": GRAY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a token may be a dollar sign
    "xtick.color": GRAY,
    "ytick.color": GRAY,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
}


def plot_trace(
    trace: Any, *, token_texts: Sequence[str] = (), answer_start: int | None = None, title: str = ""
) -> Figure:
    """Plot the entropy of every generated token with what V-Reason made of it.

    Shown are the entropy, its moving average and peak, the phases as background, and each update as a triangle: down
    where it lowered the entropy, up where it raised it. Hollow dots are tokens that a grammar forced.

    Args:
        trace: A `DecodingTrace`, its `to_dict()`, or a message's `response_metadata["vreason"]`, whose series may be
            thinned (then only entropy and phases are known).
        token_texts: Text of each token, written under it where the trace has at most 480 tokens.
        answer_start: First token of the final answer, marked by a line.
        title: Heading.

    Raises:
        ConfigError: The trace holds no token, or another number of tokens than `token_texts`.
        DependencyError: matplotlib is missing.
    """
    data = trace if isinstance(trace, Mapping) else trace.to_dict()
    num_points = len(data.get("entropy") or ())
    stride = int(data.get("stride") or 1)
    texts = [_label(text) for text in token_texts] if stride == 1 else []
    if num_points == 0:
        raise ConfigError("the trace holds no token, so there is nothing to plot; generate something first")
    if texts and len(texts) != num_points:
        msg = f"{len(texts)} token_texts for a trace of {num_points} tokens; give one text per token, or none"
        raise ConfigError(msg)
    has_texts = 0 < len(texts) <= TOKENS_PER_ROW * MAX_ROWS
    per_row = math.ceil(num_points / math.ceil(num_points / TOKENS_PER_ROW)) if has_texts else num_points
    starts = range(0, num_points, per_row)
    with _drawing() as new_figure:
        figure = new_figure(10.0, 0.6 + (2.6 if has_texts else 3.0) * len(starts))
        axes = figure.subplots(len(starts), 1, squeeze=False, sharey=True)[:, 0]
        for ax, start in zip(axes, starts, strict=True):
            rows = range(start, min(start + per_row, num_points))
            _draw_trace(ax, data, rows, stride)
            if has_texts:
                ax.set_xticks([*rows], [texts[row] for row in rows], rotation=90, fontsize=7, color=INK)
                ax.grid(visible=False, axis="x")
            if answer_start is not None and rows.start <= answer_start // stride < rows.stop:
                x = answer_start - 0.5
                ax.axvline(x, color=GREEN, linewidth=1.2, linestyle="--", label="start of the answer")
            ax.set_xlim(start * stride - 0.5, (start + per_row) * stride - 0.5)
        axes[0].set_ylim(bottom=0)
        axes[0].set_title(title, loc="left", fontsize=10)
        if not has_texts:
            axes[-1].set_xlabel("generated token")
        handles = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=8)
        return figure


def plot_reliability(
    probabilities: Sequence[float], correct: Sequence[bool], *, num_bins: int = 10, title: str = ""
) -> Figure:
    """Plot how often answers are right against how probable they were said to be, in bins of equal numbers of answers.

    Points on the diagonal are calibrated; bars are 95 % Wilson intervals, which take the answers as independent. Below
    stands how many answers have each probability.

    Args:
        probabilities: Of being correct, each in [0, 1].
        correct: Whether each answer is.
        num_bins: Bins; fewer where there are fewer answers.
        title: Heading.

    Raises:
        ConfigError: No answers, or lengths differ.
        DependencyError: matplotlib is missing.
    """
    rows = sorted(_pairs(probabilities, correct))
    num_bins = max(1, min(num_bins, len(rows)))
    bins = [rows[len(rows) * i // num_bins : len(rows) * (i + 1) // num_bins] for i in range(num_bins)]
    with _drawing() as new_figure:
        figure = new_figure(4.6, 5.2)
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        top.plot([0, 1], [0, 1], color=GRAY, linewidth=1, linestyle="--", label="perfectly calibrated")
        points = [(sum(p for p, _ in one) / len(one), sum(y for _, y in one) / len(one), len(one)) for one in bins]
        _draw_intervals(
            top, [(x, y, *_wilson(y, n)) for x, y, n in points], color=BLUE, label=f"{len(rows)} answers", line=False
        )
        top.set(xlim=(0, 1), ylim=(0, 1), ylabel="share correct")
        top.set_title(title, loc="left", fontsize=10)
        top.legend(loc="upper left")
        below.hist([p for p, _ in rows], bins=20, range=(0, 1), color=BLUE, alpha=0.6)
        below.set(xlabel="stated probability of being correct", ylabel="answers")
        return figure


def plot_risk_coverage(
    curves: Mapping[str, tuple[Sequence[float], Sequence[bool]]], *, max_risk: float | None = None, title: str = ""
) -> Figure:
    """Plot the share of wrong answers among those given, against the share of questions that is answered.

    Args:
        curves: By name, the confidence of each answer (larger is more confident) and whether it is correct. Answers of
            equal confidence are given together.
        max_risk: A bound on the risk, drawn as a line.
        title: Heading.

    Raises:
        ConfigError: No answers, or lengths differ.
        DependencyError: matplotlib is missing.
    """
    with _drawing() as new_figure:
        figure = new_figure(5.6, 3.8)
        ax = figure.subplots()
        for color, (name, (scores, correct)) in zip(_colors(), curves.items(), strict=False):
            points = _risk_points(_pairs(scores, correct))
            ax.step(*zip(*points, strict=True), where="post", color=color, label=name)
            ax.plot(*points[-1], "o", color=color, markersize=4)
        if max_risk is not None:
            ax.axhline(max_risk, color=GRAY, linestyle="--", linewidth=1, label=f"bound: {max_risk:.0%}")
        ax.set(xlim=(0, 1.02), ylim=(0, None), xlabel="share of questions answered", ylabel="share of answers wrong")
        ax.set_title(title, loc="left", fontsize=10)
        ax.legend(loc="best")
        return figure


def plot_accuracy_by_frames(
    series: Mapping[str, Sequence[tuple[int, float, float | None, float | None]]],
    *,
    chance: float | None = None,
    title: str = "",
) -> Figure:
    """Plot accuracy against the number of frames, with its intervals.

    Args:
        series: By name, rows of (number of frames, accuracy, low end, high end); `None` for an unknown interval.
        chance: Accuracy of guessing, drawn as a line.
        title: Heading.

    Raises:
        ConfigError: No rows.
        DependencyError: matplotlib is missing.
    """
    counts = sorted({row[0] for rows in series.values() for row in rows})
    if not counts:
        raise ConfigError("series={} has no rows, so there is nothing to plot; give {'name': [(frames, accuracy, …)]}")
    with _drawing() as new_figure:
        figure = new_figure(5.6, 3.8)
        ax = figure.subplots()
        for color, (name, rows) in zip(_colors(), series.items(), strict=False):
            _draw_intervals(ax, sorted(rows), color=color, label=name, line=True)
        if chance is not None:
            ax.axhline(chance, color=GRAY, linestyle="--", linewidth=1, label="chance")
        ax.set_xscale("symlog", base=2, linthresh=1)
        ax.set_xticks(counts, [str(count) for count in counts])
        ax.set_xticks([], minor=True)
        ax.set(ylim=(0, 1), xlabel="frames", ylabel="accuracy")
        ax.set_title(title, loc="left", fontsize=10)
        ax.legend(loc="best")
        return figure


def plot_categories(
    series: Mapping[str, Mapping[str, tuple[float, float | None, float | None]]], *, title: str = ""
) -> Figure:
    """Plot a share per category with its interval, the series side by side.

    Args:
        series: By name, the rows (share, low end, high end) by category; `None` for an unknown interval.
        title: Heading.

    Raises:
        ConfigError: No rows.
        DependencyError: matplotlib is missing.
    """
    categories = list(dict.fromkeys(category for rows in series.values() for category in rows))
    if not categories:
        raise ConfigError("series={} has no rows, so there is nothing to plot; give {'name': {'kind': (share, …)}}")
    with _drawing() as new_figure:
        figure = new_figure(max(5.6, 1.6 + 0.25 * len(categories) * (1 + len(series))), 3.8)
        ax = figure.subplots()
        step = 0.8 / max(1, len(series) - 1) if len(series) > 1 else 0.0
        for index, (color, (name, rows)) in enumerate(zip(_colors(), series.items(), strict=False)):
            offset = (index * step - 0.4) * 0.7 if len(series) > 1 else 0.0
            points = [(categories.index(category) + offset, *row) for category, row in rows.items()]
            _draw_intervals(ax, points, color=color, label=name, line=False)
        ax.set_xticks(range(len(categories)), categories, rotation=30, ha="right")
        ax.set(ylim=(0, 1), ylabel="accuracy")
        ax.set_title(title, loc="left", fontsize=10)
        figure.legend(loc="outside lower center", ncols=4)
        return figure


def plot_profiles(series: Mapping[str, Sequence[float]], *, title: str = "") -> Figure:
    """Plot mean entropies at equal shares of the way from the first generated token to the last.

    Args:
        series: By name, entropies in nats at evenly spaced places.
        title: Heading.

    Raises:
        ConfigError: No series.
        DependencyError: matplotlib is missing.
    """
    if not series:
        raise ConfigError("series={} is empty, so there is nothing to plot; give {'name': [entropies]}")
    with _drawing() as new_figure:
        figure = new_figure(5.6, 3.8)
        ax = figure.subplots()
        for color, (name, values) in zip(_colors(), series.items(), strict=False):
            ax.plot([100 * i / max(len(values) - 1, 1) for i in range(len(values))], values, color=color, label=name)
        ax.set(ylim=(0, None), xlabel="% of the generation", ylabel="mean entropy (nats)")
        ax.set_title(title, loc="left", fontsize=10)
        figure.legend(loc="outside lower center", ncols=3)
        return figure


def image_bytes(figure: Figure, image_format: Literal["svg", "png"] = "svg") -> bytes:
    """Return a figure as SVG (text stays text) or PNG (144 dots per inch); equal figures give equal bytes."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if image_format == "svg" else {"Software": None}
    with _drawing():
        figure.savefig(buffer, format=image_format, dpi=144, metadata=metadata)
    return buffer.getvalue()


def html_image(figure: Figure, *, alt: str, image_format: Literal["svg", "png"] = "svg") -> str:
    """Return an `<img>` element that holds the figure itself, for HTML files that need nothing beside them."""
    kind = {"svg": "image/svg+xml", "png": "image/png"}[image_format]
    data = base64.b64encode(image_bytes(figure, image_format)).decode()
    return f'<img src="data:{kind};base64,{data}" alt="{html.escape(alt)}">'


def _draw_trace(ax: Axes, data: Mapping[str, Any], rows: range, stride: int) -> None:
    steps = [row * stride for row in rows]
    for phase, run in groupby(rows, key=lambda row: str(data["phase"][row])):
        first, *rest = run
        stop = (rest[-1] if rest else first) + 1
        ax.axvspan(first * stride - 0.5, stop * stride - 0.5, color=PHASE_COLORS[phase], linewidth=0, label=phase)
    entropy = [data["entropy"][row] for row in rows]
    ax.plot(steps, entropy, color=GRAY, linewidth=0.8, marker=".", markersize=4, label="entropy")
    forced = data.get("forced") or [False] * (rows.stop)
    if hidden := [row for row in rows if forced[row]]:
        heights = [data["entropy"][row] for row in hidden]
        dots: dict[str, Any] = {"facecolor": "white", "edgecolor": GRAY, "s": 14, "zorder": 3}
        ax.scatter([row * stride for row in hidden], heights, label="forced by a grammar", **dots)
    if averages := data.get("entropy_ema"):
        known = [math.nan if averages[row] is None else averages[row] for row in rows]
        ax.plot(steps, known, color=BLUE, linewidth=2, label="moving average")
        _draw_peak(ax, averages, rows)
    switches = data.get("switch") or ()
    for name, marker, color in (("lower", "v", GREEN), ("raise", "^", PINK)):
        if updated := [row for row in rows if switches and switches[row] == name]:
            heights = [data["entropy"][row] for row in updated]
            ax.scatter(
                updated, heights, marker=marker, s=26, color=color, zorder=4, clip_on=False, label=f"update: {name}"
            )
    ax.set_ylabel("entropy (nats)")


def _draw_peak(ax: Axes, averages: Sequence[float | None], rows: range) -> None:
    known = [(value, -step) for step, value in enumerate(averages) if value is not None]
    if known and -max(known)[1] in rows:
        value, step = max(known)
        ax.plot([-step], [value], marker="*", markersize=13, color=ORANGE, linestyle="", zorder=5, label="peak")


def _draw_intervals(
    ax: Axes, rows: Sequence[tuple[float, float, float | None, float | None]], *, color: str, label: str, line: bool
) -> None:
    x, y = [row[0] for row in rows], [row[1] for row in rows]
    below = [0.0 if row[2] is None else max(0.0, row[1] - row[2]) for row in rows]
    above = [0.0 if row[3] is None else max(0.0, row[3] - row[1]) for row in rows]
    style: dict[str, Any] = {"fmt": "o-" if line else "o", "markersize": 5, "capsize": 2, "elinewidth": 1}
    ax.errorbar(x, y, yerr=[below, above], color=color, label=label, clip_on=False, **style)


def _risk_points(rows: Sequence[tuple[float, bool]]) -> list[tuple[float, float]]:
    """Return coverage and risk at every distinct confidence, the highest first."""
    points: list[tuple[float, float]] = []
    answered = wrong = 0
    for _, same in groupby(sorted(rows, reverse=True), key=lambda row: row[0]):
        outcomes = [correct for _, correct in same]
        answered, wrong = answered + len(outcomes), wrong + outcomes.count(False)
        points.append((answered / len(rows), wrong / answered))
    return points


def _pairs(values: Sequence[float], correct: Sequence[bool]) -> list[tuple[float, bool]]:
    if len(values) != len(correct) or len(values) == 0:
        msg = f"{len(values)} confidences and {len(correct)} outcomes; give one outcome per answer, and at least one"
        raise ConfigError(msg)
    return [(float(value), bool(outcome)) for value, outcome in zip(values, correct, strict=True)]


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (E. B. Wilson, 1927)."""
    z = 1.959964
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return center - half, center + half


def _colors() -> Iterator[str]:
    while True:
        yield from (BLUE, ORANGE, GREEN, PINK, INK, GRAY)


def _label(text: str) -> str:
    """Return a token as a tick label: spaces and line ends visible, nothing that breaks the line."""
    shown = text.replace("\n", "\u21b5").replace(" ", "\u2423")
    shown = "".join(mark if mark.isprintable() else "\ufffd" for mark in shown)
    return shown if len(shown) <= MAX_LABEL_CHARS else f"{shown[: MAX_LABEL_CHARS - 1]}…"


@contextmanager
def _drawing() -> Iterator[Callable[[float, float], Figure]]:
    """Yield the maker of figures of a size in inches, under this module's style."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as exc:
        msg = "plots need matplotlib; run: pip install 'vreason-agent[plots]'"
        raise DependencyError(msg) from exc

    def new_figure(width: float, height: float) -> Figure:
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)  # a canvas, which notebooks ask for
        return figure

    with matplotlib.rc_context(_RULES), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's browser has it
        yield new_figure
