"""The scripts in benchmarks/quality with a scripted model in place of the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from types import SimpleNamespace

import pytest

from benchmarks.quality.agent import BY_SEED, agent, run_agent, tune_policy
from benchmarks.quality.bench import Bench
from benchmarks.quality.card import card
from benchmarks.quality.phases import tune_phase
from benchmarks.quality.schedules import compare_schedules, decoding_config, tune_steps
from benchmarks.quality.signals import HIGHER_IS_CONFIDENT, signals
from vreason_agent.confidence import SIGNAL_NAMES
from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import ConfigError
from vreason_agent.evaluation import Answer, Question
from vreason_agent.evaluation.adapter import Setting
from vreason_agent.graphs.policy import AcceptPolicy, Ladder

LADDER, OFF = Ladder(), VReasonConfig(schedule="off")


def needed_frames(question: Question) -> int:
    """The scripted model is right, and settled, from so many frames on."""
    return (4, 8, 16, 64)[int(question.details["seed"]) // 2 % 4]


@dataclass(frozen=True)
class ScriptedBench(Bench):
    """A bench whose model is right from `needed_frames` on and says the second option before."""

    @cached_property
    def engine(self):
        identity = {"weights": "scripted"}
        return SimpleNamespace(
            fingerprint="scripted", identity=identity, answering=lambda setting: lambda batch: self.say(setting, batch)
        )

    def say(self, setting: Setting, batch) -> list[Answer]:
        calls.append((setting, len(batch)))
        return [self.one(question, setting) for question in batch]

    def one(self, question: Question, setting: Setting) -> Answer:
        is_settled = setting.num_frames >= needed_frames(question)
        wrong = next((option for option in question.options if option != question.answer), "something else")
        steered = {"unsteered_final_entropy": 0.2} if setting.vreason.is_steering else {}
        drop = 0.8 if is_settled else 0.1
        span = question.details["duration_seconds"] / max(setting.num_frames, 1)
        times = [index * span for index in range(setting.num_frames)]
        return Answer(
            text=setting.vreason.schedule,
            answer=question.answer if is_settled else wrong,
            signals={"entropy_drop": drop, "final_entropy": 1 - drop, "mean_entropy": 1.0, **steered},
            num_frames=setting.num_frames,
            num_tokens=20,
            details={
                "timestamps_seconds": times,
                "entropy": [1.0] * 8 + [0.2 if is_settled else 0.9] * 3,
                "answer_stop": 11,
                "num_updates": 5,
                "share_differs_from_minimize": 0.4,
                "exploitation_share": 0.5,
            },
        )


calls: list[tuple[Setting, int]] = []


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def bench(data, tmp_path):
    calls.clear()
    return ScriptedBench(data=data, out=tmp_path, split="dev", num_questions=16)


def test_card_has_every_kind_the_bar_and_the_blind_run(bench):
    text = card(bench, (4, 32))
    lines = text.splitlines()
    assert lines[0].startswith("16 dev questions (standard), weights scripted")
    assert lines[2].startswith("| kind | n | 4 frames | oracle 4 | 32 frames | oracle 32 | no video | chance |")
    assert lines[4].startswith("| all | 16 | 25.0 [")
    assert "| 75.0 [" in lines[4]
    assert "at 32 frames: 75.0% of the oracle's accuracy overall (bar 90 %)" in text
    assert {setting.num_frames for setting, _ in calls} == {0, 4, 32}


def test_finished_card_asks_nothing(bench):
    first = card(bench, (4,))
    calls.clear()
    assert card(bench, (4,)) == first
    assert calls == []


def test_phase_settings_decide_which_answers_have_a_drop(bench):
    text = tune_phase(bench, (8,), warmup_steps=[8], min_final_steps=[3, 4], ema_decays=[0.9])
    lines = text.splitlines()
    assert lines[4].startswith("| 8 | 3 | 0.9 | 1.000")
    assert lines[4].endswith("(100 %) |")
    assert lines[5].startswith("| 8 | 4 | 0.9 | 0.500")  # four steps after the peak are not there: every drop is 0
    assert [setting.vreason.schedule for setting, _ in calls] == ["off"]


def test_phase_settings_are_not_tuned_on_test_questions(bench):
    with pytest.raises(ConfigError, match="use --split dev"):
        tune_phase(replace(bench, split="test"), (8,), warmup_steps=[8], min_final_steps=[4], ema_decays=[0.9])


def test_schedules_are_compared_with_off(bench):
    text = compare_schedules(bench, ("off", "switching"), num_frames=8, learning_rate=0.2, update_interval=2)
    rows = [line for line in text.splitlines() if line.startswith("| switching")]
    assert len(rows) == 2
    assert "+0.0 [-10.9, +10.9] | 1.000 | 20.0 |" in rows[0]
    assert rows[0].endswith("| 0.0 | 100.0 |")
    assert rows[1] == "| switching | 5.00 | 0.40 | 0.50 |"


def test_tuning_runs_every_combination_and_refuses_test_questions(bench, data, tmp_path):
    text = tune_steps(bench, "minimize", num_frames=8, learning_rates=[0.1, 0.2], update_intervals=[1, 4])
    assert text.count("| minimize, lr") == 8
    test_bench = ScriptedBench(data=data, out=tmp_path, split="test", num_questions=1)
    with pytest.raises(ConfigError, match="tuning on it would spoil every figure; use --split dev"):
        tune_steps(test_bench, "minimize", num_frames=8, learning_rates=[0.1], update_intervals=[1])
    with pytest.raises(ConfigError, match="use --split dev"):
        tune_policy(test_bench, LADDER, OFF, min_entropy_drops=[0.5], min_agreeing=[1], max_retries=[0])


def test_agent_climbs_as_far_as_needed_and_abstains_where_nothing_helps(bench):
    results = run_agent(bench, AcceptPolicy(min_agreeing=1, max_retries=0), LADDER, OFF)
    for row in results:
        needed = needed_frames(row.question)
        assert row.answer.details["rungs"][-1] == min(needed, 32)
        assert row.answer.decision == ("accept" if needed <= 32 else "abstain")


def test_retry_is_asked_with_its_variation(bench):
    run_agent(bench, AcceptPolicy(min_agreeing=1, max_retries=1, variations=BY_SEED), LADDER, OFF)
    with pytest.raises(ConfigError, match="batches retry by seed: variations="):
        run_agent(bench, AcceptPolicy(min_agreeing=1, max_retries=1), LADDER, OFF)
    sampled = [(setting, count) for setting, count in calls if setting.temperature > 0]
    assert [(setting.seed, setting.num_frames, count) for setting, count in sampled] == [(1, 32, 4)]


def test_agent_table_has_its_baselines(bench):
    text = agent(bench, AcceptPolicy(min_agreeing=1, max_retries=0), LADDER, OFF)
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| ")}
    assert {"fixed 4", "fixed 32", "agent", "random gate", "perfect gate"} <= set(rows)
    assert "| agent | 75.0 [" in rows["agent"]
    assert "| 75.0 | 100.0 [" in rows["agent"]
    assert "- agent minus fixed 4, paired: +50.0 [" in text
    assert "- agent minus fixed 32, paired: +0.0 [" in text
    assert "8 became right, 0 became wrong" in text
    assert "| perfect gate | 75.0 [" in rows["perfect gate"]


def test_random_gate_stops_as_often_at_each_rung_but_anywhere(bench):
    """A quarter stops at 4 (25 % right), 8 (50 %), 16 (75 %) and 32 (75 %): 56.25 % on average.

    Climbing there takes 4, 12, 28 and 60 frames: 26 on average, whether or not the agent retried besides.
    """
    for retries in (0, 1):
        text = agent(bench, AcceptPolicy(min_agreeing=1, max_retries=retries, variations=BY_SEED), LADDER, OFF)
        row = next(line for line in text.splitlines() if line.startswith("| random gate | 56.2 ["))
        assert row.endswith("| 100.0 |  | 26.0 |  |  |")
        assert next(line for line in text.splitlines() if line.startswith("| perfect gate")).endswith("| 26.0 |  |  |")


def test_tuned_policies_share_their_answers(bench):
    table = tune_policy(bench, LADDER, OFF, min_entropy_drops=[0.0, 0.5], min_agreeing=[1, 2], max_retries=[0])
    assert len(table.splitlines()) == 6
    assert sum(count for _, count in calls) <= 16 * 4


def test_signals_table_has_every_signal_and_both_decodings(bench):
    steered = decoding_config("switching", learning_rate=0.2, update_interval=2)
    text = signals(bench, {"off": OFF, "switching": steered}, [8])
    assert "| signal | confident when | off, 8 frames (n = 16) | switching, 8 frames (n = 16) |" in text
    assert "| final_entropy | lower | 1.000 [" in text
    assert "| unsteered_final_entropy | lower | - | 0.500 [" in text


def test_every_signal_has_a_direction():
    assert set(HIGHER_IS_CONFIDENT) == set(SIGNAL_NAMES)


def test_setting_tells_apart_what_changes_answers():
    base = Setting()
    others = [
        Setting(num_frames=4),
        Setting(max_frames=32),
        Setting(temperature=0.7, seed=1),
        Setting(vreason=VReasonConfig()),
    ]
    assert len({str(setting.to_dict()) for setting in (base, *others)}) == 5
