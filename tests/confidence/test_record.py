from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from langchain_core.messages import AIMessage

from vreason_agent.confidence import Confidence, confidence_of, describe_confidence
from vreason_agent.errors import ConfigError


def test_a_record_has_no_probability_until_a_calibrator_gives_one() -> None:
    record = Confidence(signals={"answer_probability": 0.99}).to_dict()
    assert record["schema"] == "vreason.confidence/1"
    assert record["probability"] is None
    assert record["calibrated"] is False


def test_a_record_survives_json_and_keys_of_a_later_version() -> None:
    confidence = Confidence(signals={"entropy_drop": 0.5}, warnings=("truncated",))
    data = json.loads(json.dumps(confidence.to_dict()))
    assert Confidence.from_dict({**data, "guarantee": None}) == confidence
    assert confidence_of(SimpleNamespace(response_metadata={"confidence": data})) == confidence


def test_a_decision_brings_the_passes_it_rests_on() -> None:
    decided = Confidence().decided("accept", "it held", [{"num_frames": 4}])
    assert decided.decision == {"action": "accept", "reason": "it held", "settled": True}
    assert decided.evidence["rungs"] == [{"num_frames": 4}]


def test_a_message_without_measurement_has_its_answer_and_no_unit_and_is_said_to_be_unmeasured() -> None:
    confidence = confidence_of(AIMessage("The dog shakes itself."))
    assert confidence.answer == {"text": "The dog shakes itself.", "choice": None, "kind": "open"}
    assert (confidence.signals, confidence.units) == ({}, {})
    headline, *_, warning = describe_confidence(confidence)
    assert headline == "This is the model's answer from one attempt; no policy has judged it."
    assert warning.startswith("Nothing was measured")


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"not str 'yes'; pass what chat_model.invoke"):
        confidence_of("yes")
