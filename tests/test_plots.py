from __future__ import annotations

import base64
import builtins
import re
from dataclasses import replace
from typing import Any

import pytest

from vreason_agent.decoding import DecodingTrace, VReasonConfig
from vreason_agent.decoding.phase import Phase, Switch
from vreason_agent.errors import ConfigError, DependencyError


def trace_of(num_tokens: int) -> DecodingTrace:
    half = num_tokens // 2
    return DecodingTrace(
        config=VReasonConfig(),
        token_ids=tuple(range(num_tokens)),
        logprobs=(-1.0,) * num_tokens,
        entropy=tuple(1.0 + step % 3 for step in range(num_tokens)),
        entropy_ema=(None, *(1.0 + (step == half) for step in range(1, num_tokens))),
        phase=(Phase.EXPLORATION,) * half + (Phase.EXPLOITATION,) * (num_tokens - half),
        switch=(*(Switch.LOWER if step % 2 else None for step in range(num_tokens - 1)), Switch.RAISE),
        loss=(None,) * num_tokens,
        controller_norm=(None,) * num_tokens,
        forced=(True,) + (False,) * (num_tokens - 1),
    )


def test_a_missing_matplotlib_is_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object, **kwargs: object) -> object:
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DependencyError, match=re.escape("pip install 'vreason-agent[plots]'")):
        trace_of(4).plot()


def test_what_cannot_be_plotted_is_refused() -> None:
    from vreason_agent import plots

    with pytest.raises(ConfigError, match="generate something first"):
        plots.plot_trace(replace(trace_of(4), entropy=()))
    with pytest.raises(ConfigError, match="3 token_texts for a trace of 4 tokens; give one text per token"):
        trace_of(4).plot(token_texts=["a", "b", "c"])


class TestFigures:
    @pytest.fixture(autouse=True)
    def _needs_matplotlib(self) -> None:
        pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")

    def test_a_trace_shows_its_series_peak_phases_updates_and_tokens(self) -> None:
        figure: Any = trace_of(8).plot(token_texts=["a b", "$", "\n", "\x1b", "long" * 9, "f", "g", "h"], title="t")
        (ax,) = figure.axes
        lines = {line.get_label(): line for line in ax.get_lines()}
        assert list(lines["entropy"].get_ydata()) == list(trace_of(8).entropy)
        assert (lines["peak"].get_xdata()[0], lines["peak"].get_ydata()[0]) == trace_of(8).peak()
        points = {group.get_label(): group.get_offsets().tolist() for group in ax.collections}
        assert points["update: lower"] == [[1.0, 2.0], [3.0, 1.0], [5.0, 3.0]]
        assert points["update: raise"] == [[7.0, 2.0]]
        assert points["forced by a grammar"] == [[0.0, 1.0]]
        assert [patch.get_label() for patch in ax.patches] == ["exploration", "exploitation"]
        labels = [tick.get_text() for tick in ax.get_xticklabels()]
        assert labels == ["a␣b", "$", "↵", "�", "longlonglon…", "f", "g", "h"]

    def test_a_long_trace_is_broken_into_rows_and_a_very_long_one_loses_its_tokens(self) -> None:
        assert len(trace_of(130).plot(token_texts=["x"] * 130).axes) == 3
        assert len(trace_of(130).plot().axes) == 1
        assert len(trace_of(481).plot(token_texts=["x"] * 481).axes) == 1

    def test_the_thinned_series_of_a_message_keep_their_steps(self) -> None:
        from vreason_agent.plots import plot_trace

        thinned = {"stride": 4, "entropy": [1.0, 2.0, 3.0], "phase": ["exploration"] * 3}
        figure: Any = plot_trace(thinned, answer_start=5)
        (ax,) = figure.axes
        lines = {line.get_label(): line for line in ax.get_lines()}
        assert list(lines["entropy"].get_xdata()) == [0, 4, 8]
        assert list(lines["start of the answer"].get_xdata()) == [4.5, 4.5]

    def test_reliability_compares_equal_numbers_of_answers(self) -> None:
        from vreason_agent.plots import plot_reliability

        figure: Any = plot_reliability([0.1, 0.2, 0.8, 0.9], [False, False, True, False], num_bins=2)
        points = figure.axes[0].containers[0].lines[0]
        assert list(points.get_xdata()) == pytest.approx([0.15, 0.85])
        assert list(points.get_ydata()) == pytest.approx([0.0, 0.5])
        with pytest.raises(ConfigError, match="one outcome per answer"):
            plot_reliability([0.5], [])

    def test_risk_counts_answers_of_equal_confidence_together(self) -> None:
        from vreason_agent.plots import plot_risk_coverage

        figure: Any = plot_risk_coverage({"a": ([0.9, 0.5, 0.5, 0.1], [True, False, True, False])}, max_risk=0.1)
        curve = next(line for line in figure.axes[0].get_lines() if line.get_label() == "a")
        assert list(curve.get_xdata()) == pytest.approx([0.25, 0.75, 1.0])
        assert list(curve.get_ydata()) == pytest.approx([0.0, 1 / 3, 0.5])

    def test_accuracy_by_frames_keeps_intervals_and_says_what_is_missing(self) -> None:
        from vreason_agent.plots import plot_accuracy_by_frames

        figure: Any = plot_accuracy_by_frames({"on": [(8, 0.7, 0.6, 0.8), (4, 0.5, None, None)]}, chance=0.25)
        (ax,) = figure.axes
        assert list(ax.containers[0].lines[0].get_xdata()) == [4, 8]
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["4", "8"]
        with pytest.raises(ConfigError, match="has no rows"):
            plot_accuracy_by_frames({})

    def test_an_image_is_the_same_each_time_and_stands_alone_in_html(self) -> None:
        from vreason_agent.plots import html_image, image_bytes

        first, again = (image_bytes(trace_of(8).plot(token_texts=list("视bcdefgh"))) for _ in range(2))
        assert first == again
        assert "视".encode() in first
        assert image_bytes(trace_of(8).plot(), "png").startswith(b"\x89PNG")
        element = html_image(trace_of(8).plot(), alt='entropy "of" it')
        data = re.fullmatch(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="entropy &quot;of&quot; it">', element)
        assert data is not None
        assert b"<svg" in base64.b64decode(data[1])
