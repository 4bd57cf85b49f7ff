from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from vreason_agent.decoding import VReasonConfig
from vreason_agent.errors import ConfigError


def test_defaults_are_the_method() -> None:
    config = VReasonConfig()
    assert (config.schedule, config.apply_to, config.is_steering) == ("switching", "next", True)
    assert not VReasonConfig(schedule="off").is_steering


def test_every_field_is_explained() -> None:
    explained = set(re.findall(r"^        (\w+): ", VReasonConfig.__doc__ or "", flags=re.MULTILINE))
    assert {field.name for field in dataclasses.fields(VReasonConfig)} == explained - {"ConfigError"}


def test_json_goes_both_ways() -> None:
    config = VReasonConfig(schedule="random", betas=(0.5, 0.25), lite=True, seed=7, learning_rate=0.1)
    assert VReasonConfig.from_json(config.to_json()) == config
    assert VReasonConfig.from_dict({}) == VReasonConfig()


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        VReasonConfig().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"schedule": "on"}, "schedule='on' is not known; use one of: off, switching, alternating, minimize"),
        ({"apply_to": "both"}, "use one of: next, current"),
        ({"ema_decay": 1.0}, "ema_decay=1.0 must be a number at least 0 and below 1"),
        ({"ema_decay": -0.1}, "at least 0 and below 1"),
        ({"peak_margin": 1}, "peak_margin=1 must be a number at least 0 and below 1"),
        ({"schedule": ["off"]}, r"schedule=\['off'\] is not known; use one of: off"),
        ({"schedule": None}, "schedule=None is not known; use one of: off"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must be a number at least 0 and at most 1000"),
        ({"learning_rate": float("inf")}, "learning_rate=inf must be a number at least 0 and at most 1000"),
        ({"learning_rate": "0.1"}, "learning_rate='0.1' must be a number at least 0 and at most 1000"),
        ({"learning_rate": 1e300}, r"learning_rate=1e\+300 must be a number at least 0 and at most 1000"),
        ({"learning_rate": 10**400}, "learning_rate=<a whole number of 1329 bits> must be a number .* at most 1000"),
        ({"learning_rate": 10**5000}, "learning_rate=<a whole number of .* bits> must be a number .* at most 1000"),
        ({"learning_rate": [0.1]}, r"learning_rate=\[0.1\] must be a number at least 0 and at most 1000"),
        ({"eps": 1e300}, r"eps=1e\+300 must be a number above 0 and at most 1000"),
        ({"warmup_steps": -(10**5000)}, "<a whole number of .* bits> must be a whole number of at least 1"),
        ({"betas": "ab"}, r"betas='ab' must be two numbers, such as \(0.9, 0.999\)"),
        ({"betas": [None, 0.9]}, r"betas\[0\]=None must be a number at least 0 and below 1"),
        ({"eps": 0.0}, "eps=0.0 must be a number above 0"),
        ({"betas": (0.9, 1.0)}, r"betas\[1\]=1.0 must be a number at least 0 and below 1"),
        ({"betas": 0.9}, r"betas=0.9 must be two numbers, such as \(0.9, 0.999\)"),
        ({"warmup_steps": 0}, "warmup_steps=0 must be a whole number of at least 1"),
        ({"update_interval": 2.0}, "update_interval=2.0 must be a whole number of at least 1"),
        ({"num_optim_steps": True}, "num_optim_steps=True must be a whole number of at least 1"),
        ({"min_final_steps": 0}, "min_final_steps=0 must be a whole number of at least 1"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
        ({"lite": 1}, "lite=1 must be True or False"),
        ({"lite_keep_ratio": 0.0}, "lite_keep_ratio=0.0 must be a number above 0 and at most 1"),
        ({"lite_keep_ratio": 1.5}, "above 0 and at most 1"),
        ({"record_loss_after": None}, "record_loss_after=None must be True or False"),
    ],
)
def test_a_field_outside_its_range_is_refused(fields: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        VReasonConfig(**fields)


@pytest.mark.parametrize("data", [None, [], "off", 7, [("schedule", "off")]], ids=repr)
def test_data_that_is_no_mapping_is_refused(data: Any) -> None:
    with pytest.raises(ConfigError, match=r"V-Reason config must be a JSON object; got .*; write it as \{...\}"):
        VReasonConfig.from_dict(data)


def test_a_key_that_is_no_text_is_refused() -> None:
    data: Any = {1: "off", "learning": 2}
    with pytest.raises(ConfigError, match="unknown V-Reason config field 1; use one of: schedule"):
        VReasonConfig.from_dict(data)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('{"learning": 1}', "unknown V-Reason config field 'learning'; use one of: schedule, ema_decay"),
        ("[1]", r"must be a JSON object; got \[1\]; write it as \{...\}"),
        ("{", "must be a JSON object; got '{'"),
        ("null", r"must be a JSON object; got None; write it as \{...\}"),
        (None, r"must be a JSON object; got None .*; write it as \{...\}"),
        (b"\xff", r"must be a JSON object; got .*; write it as \{...\}"),
        ("[" * 100_000, r"must be a JSON object; got .*; write it as \{...\}"),
        ('{"seed": ' + "9" * 5000 + "}", r"must be a JSON object; got .*; write it as \{...\}"),
        ('{"learning_rate": NaN}', "learning_rate=nan must be a number at least 0 and at most 1000"),
        ('{"learning_rate": 1e999}', "learning_rate=inf must be a number at least 0 and at most 1000"),
        ('{"seed": null}', "seed=None must be a whole number of at least 0"),
    ],
)
def test_json_that_is_no_config_is_refused(text: Any, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        VReasonConfig.from_json(text)
