"""Calibrators: fitted on simulated runs, saved, loaded without scikit-learn, and refused under another setup."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from vreason_agent.confidence import Calibrator, Confidence, apply_calibrator, describe_confidence
from vreason_agent.confidence.calibration import Feature, SignalMap, transform_signal
from vreason_agent.errors import ConfigError, EvaluationError
from vreason_agent.evaluation import Answer, Question, Result, Score, common_setup, fit_calibrator

SETUP = {"model": "tiny@1234", "prompt": "abcd", "vreason": {"schedule": "off"}, "frames": [4, 8]}
NAMES = ("answer_probability", "entropy_drop")


def simulated(n: int = 400, seed: int = 0) -> list[Result]:
    """Answers of two questions per video, right with the log-odds `margin + 2 drop - 1`; a tenth without a drop."""
    rng, rows = np.random.default_rng(seed), []
    for index in range(n):
        margin, drop = rng.normal(1.0, 1.5), rng.uniform(0, 1)
        is_correct = bool(rng.random() < 1 / (1 + math.exp(-(margin + 2 * drop - 1))))
        has_drop = rng.random() > 0.1
        signals = {"answer_probability": 1 / (1 + math.exp(-margin)), "entropy_drop": drop if has_drop else None}
        question = Question(id=f"q{index}", video=f"v{index // 2}.mp4", question="?", answer="a")
        answer = Answer(text="a", answer="a", signals=signals, num_frames=4)
        rows.append(Result(question, answer, Score(is_correct, True, "")))
    return rows


def record(signals: dict[str, float | None]) -> Confidence:
    return Confidence(answer={"text": "a", "choice": None, "kind": "open"}, signals=signals)


def test_the_fit_is_sklearns_and_its_probability_means_what_it_says() -> None:
    rows = simulated()
    calibrator, report = fit_calibrator(rows, fingerprint=SETUP, signals=NAMES)
    signals = [row.answer.signals for row in rows]
    columns = []
    for name in NAMES:
        values = [one[name] for one in signals]
        column = np.array([np.nan if value is None else transform_signal(name, value) for value in values])
        columns.append(np.nan_to_num((column - np.nanmean(column)) / np.nanstd(column)))
    columns.append(np.array([s["entropy_drop"] is None for s in signals], dtype=float))
    labels = [row.score.is_correct for row in rows]
    expected = (
        LogisticRegression(max_iter=1000).fit(np.column_stack(columns), labels).predict_proba(np.column_stack(columns))
    )
    assert [calibrator.probability(one) for one in signals] == pytest.approx(list(expected[:, 1]), abs=1e-3)
    assert report.combined.calibration_error.is_within_null
    assert (report.combined.auroc.value or 0) > (report.signals["entropy_drop"].auroc.value or 1)
    assert (report.combined.auroc.low or 0) > 0.7
    assert calibrator.metrics is not None
    assert calibrator.metrics["auroc"]["value"] == report.combined.auroc.value
    assert calibrator.fitted_on == {"num_questions": 400, "num_videos": 200, "accuracy": np.mean(labels)}


def test_an_isotonic_map_is_sklearns_in_either_direction() -> None:
    rows = simulated(1000)
    for name, sign in (("answer_probability", 1.0), ("answer_entropy", -1.0)):
        some = [
            replace(row, answer=replace(row.answer, signals={name: row.answer.signals["answer_probability"] if sign > 0
                    else 2 - (row.answer.signals["answer_probability"] or 0)}))
            for row in rows
        ]  # fmt: skip
        calibrator, _ = fit_calibrator(some, fingerprint=SETUP, signals=[name], method="isotonic")
        values = np.array([sign * transform_signal(name, row.answer.signals[name] or 0.0) for row in some])
        labels = [row.score.is_correct for row in some]
        expected = IsotonicRegression(out_of_bounds="clip").fit(values, labels).predict(values)
        assert [calibrator.probability(row.answer.signals) for row in some] == pytest.approx(list(expected))


def test_a_video_is_never_on_both_sides_of_a_fold() -> None:
    """Pure noise that names its video: a fit that saw the video would tell right from wrong."""
    rng = np.random.default_rng(1)
    rows = [
        replace(
            row,
            question=replace(row.question, video_id=f"v{index // 20}"),
            answer=replace(row.answer, signals={"slope": float(index // 20)}),
            score=Score(bool((index // 20) % 2 if rng.random() < 0.9 else rng.random() < 0.5), True, ""),
        )
        for index, row in enumerate(simulated(400))
    ]
    _, report = fit_calibrator(rows, fingerprint=SETUP, signals=["slope"])
    assert (report.combined.auroc.value or 0) < 0.65


def test_a_calibrator_is_saved_as_json_and_loaded_without_heavy_libraries(tmp_path: Path) -> None:
    calibrator, _ = fit_calibrator(simulated(), fingerprint=SETUP, signals=NAMES)
    calibrator.save(tmp_path / "c.json")
    assert Calibrator.load(tmp_path / "c.json").to_dict() == calibrator.to_dict()
    code = (
        "import sys\nfrom vreason_agent.confidence import Calibrator\n"
        f"c = Calibrator.load({str(tmp_path / 'c.json')!r})\n"
        "print(c.probability({'answer_probability': .9, 'entropy_drop': None}), "
        "[name for name in ('sklearn', 'numpy', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = calibrator.probability({"answer_probability": 0.9, "entropy_drop": None})
    assert done.stdout == f"{expected} []\n"


def test_another_setup_is_refused_with_its_differences() -> None:
    calibrator, _ = fit_calibrator(simulated(), fingerprint=SETUP, signals=NAMES)
    answer = record({"answer_probability": 0.9, "entropy_drop": 0.8})
    same = apply_calibrator(answer, calibrator, {**SETUP, "frames": (4, 8)})
    assert same.calibrated
    assert same.probability == calibrator.probability(answer.signals)
    assert describe_confidence(same)[0] == f"About {same.probability:.0%} of such answers are right."
    assert "That share comes from 400 labelled questions of the same setup." in describe_confidence(same)
    other = apply_calibrator(answer, calibrator, {**SETUP, "model": "tiny@9999", "quantization": "int8"})
    assert (other.probability, other.calibrated) == (None, False)
    assert other.calibration is not None
    assert other.calibration["differences"] == [
        "model: fitted with 'tiny@1234', now 'tiny@9999'",
        "quantization: fitted with None, now 'int8'",
    ]
    assert any("fitted on another setup" in sentence for sentence in describe_confidence(other))
    assert Confidence.from_dict(json.loads(json.dumps(other.to_dict()))) == other


def test_the_number_of_frames_may_be_any_that_was_fitted_and_only_what_differs_is_named() -> None:
    calibrator = Calibrator(
        "logistic", (SignalMap((Feature("slope"),)),), {"num_frames": [4, 8], "v": {"a": 1, "b": 2}}
    )
    assert calibrator.differences({"num_frames": 8, "v": {"a": 1, "b": 2}}) == []
    assert calibrator.differences({"num_frames": 16, "v": {"a": 1, "b": 3}}) == [
        "num_frames: fitted with [4, 8], now 16",
        "v: fitted with {'b': 2}, now {'b': 3}",
    ]


def test_a_map_per_rung_is_used_at_its_rung_alone() -> None:
    rows = [
        replace(row, answer=replace(row.answer, num_frames=count), score=Score(flip ^ row.score.is_correct, True, ""))
        for count, flip in ((4, False), (8, True))
        for row in simulated()
    ]
    rows = [replace(row, question=replace(row.question, id=f"{row.question.id}-{i}")) for i, row in enumerate(rows)]
    calibrator, report = fit_calibrator(rows, fingerprint=SETUP, signals=["answer_probability"], per_rung=True)
    assert list(report.rungs) == [4, 8]
    low, high = (calibrator.probability({"answer_probability": 0.9, "num_frames": count}) for count in (4, 8))
    assert low is not None
    assert high is not None
    assert low > 0.5 > high
    assert calibrator.probability({"answer_probability": 0.9, "num_frames": 16}) is None
    assert Calibrator.from_dict(json.loads(json.dumps(calibrator.to_dict()))) == calibrator


def test_held_out_videos_are_counted_for_the_ladder_and_not_fitted(tmp_path: Path) -> None:
    rows = [
        replace(row, answer=replace(row.answer, num_frames=count, details={"setup": {**SETUP, "num_frames": count}}))
        for count in (4, 8)
        for row in simulated()
    ]
    setup = common_setup(rows)
    assert setup["num_frames"] == [4, 8]
    calibrator, _ = fit_calibrator(rows, fingerprint=setup, signals=NAMES, held_out=0.5)
    assert calibrator.ladder is not None
    assert calibrator.fitted_on is not None
    assert calibrator.ladder.rungs == (4, 8)
    assert calibrator.ladder.num_questions + calibrator.fitted_on["num_videos"] == 200  # one question per video
    bound = calibrator.threshold(max_risk=0.3, confidence=0.9)
    assert bound.threshold is not None
    assert bound.num_wrong <= 0.3 * bound.num_answered
    calibrator.save(tmp_path / "c.json")
    assert Calibrator.load(tmp_path / "c.json").threshold(max_risk=0.3) == bound
    assert calibrator.threshold(max_risk=0.001).threshold is None
    with pytest.raises(ConfigError, match=r"held out no answers; fit one with: vreason-agent calibrate"):
        replace(calibrator, ladder=None).threshold(max_risk=0.1)


def test_answers_of_different_setups_are_not_fitted_together() -> None:
    rows = simulated()[:2]
    setups = [{**SETUP, "num_frames": 4}, {**SETUP, "num_frames": 4, "prompt": "other"}]
    mixed = [
        replace(row, answer=replace(row.answer, details={"setup": one})) for row, one in zip(rows, setups, strict=True)
    ]
    with pytest.raises(EvaluationError, match=r"different setups \(prompt\); give runs of one setup"):
        common_setup(mixed)
    with pytest.raises(EvaluationError, match=r"1 of 2 answers do not say the setup .*make them anew"):
        common_setup([rows[0], mixed[1]])


def test_an_answer_without_a_signal_or_without_a_text_gets_no_probability() -> None:
    calibrator, _ = fit_calibrator(simulated(), fingerprint=SETUP, signals=NAMES)
    unmeasured = apply_calibrator(record({"entropy_drop": 0.5}), calibrator, SETUP)
    assert (unmeasured.probability, unmeasured.calibrated) == (None, False)
    assert any(
        "A signal that the calibrator needs was not measured" in text for text in describe_confidence(unmeasured)
    )
    unread = Confidence(signals={"answer_probability": 0.9, "entropy_drop": 0.5})
    assert apply_calibrator(unread, calibrator, SETUP).probability is None


def test_what_is_no_calibrator_is_refused(tmp_path: Path) -> None:
    calibrator = Calibrator("logistic", (SignalMap((Feature("slope"),)),), SETUP)
    path = tmp_path / "c.json"
    changed = {**calibrator.to_dict(), "method": "platt"}
    for text, message in (
        (json.dumps(changed), r"was changed or is of another version .* fit it anew"),
        (json.dumps({**calibrator.to_dict(), "schema": "other/2"}), r"this one reads vreason.calibrator/2"),
        ("{}", r"not a calibrator \(KeyError: 'maps'\); fit one with"),
        ("[", "is no calibrator that can be read"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            Calibrator.load(path)
    with pytest.raises(ConfigError, match="is no calibrator that can be read"):
        Calibrator.load(tmp_path / "none.json")


def test_what_cannot_be_fitted_is_refused_with_the_remedy() -> None:
    rows = simulated()
    for some, arguments, message in (
        (rows[:30], {}, "30 answers of 15 videos, .* label more questions"),
        ([row for row in rows if row.score.is_correct], {}, "and 0 wrong: .* label more questions"),
        (rows, {"signals": ["slope"]}, r"no answer has the signals \['slope'\]; choose among"),
        (rows, {"signals": NAMES, "method": "platt"}, "name one, or use method='logistic'"),
        (rows, {"signals": ["entropy_drop"], "method": "isotonic"}, "use method='logistic'"),
    ):
        with pytest.raises(EvaluationError, match=message):
            fit_calibrator(some, fingerprint=SETUP, **{"signals": NAMES, **arguments})  # type: ignore[arg-type]


def test_the_calibration_example_of_the_docs_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "confidence.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    fitted, known, refused = capsys.readouterr().out.splitlines()
    assert fitted.endswith("True")
    assert known.endswith("That share comes from 300 labelled questions of the same setup.")
    assert "quantization: fitted with None, now 'int8'" in refused
