"""Claims about the folder of weights that ships."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer

from vreason_agent.tiny.build import FAMILY, TOKENS_PER_PAIR, WEIGHTS, build_model, load_tokenizer
from vreason_agent.tiny.tokenizer import build_tokenizer
from vreason_agent.tiny.train import start_weights

FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
}
pytestmark = pytest.mark.skipif(not WEIGHTS.exists(), reason="no weights yet: python -m vreason_agent.tiny.train")


def test_the_folder_holds_the_published_layout_in_16_megabytes() -> None:
    assert {file.name for file in WEIGHTS.iterdir()} == FILES
    assert sum(file.stat().st_size for file in WEIGHTS.iterdir()) <= 16e6


def test_the_config_names_the_family_and_enough_tokens_per_second() -> None:
    config = json.loads((WEIGHTS / "config.json").read_text())
    assert config["vreason_family"] == FAMILY
    assert config["vision_config"]["tokens_per_second"] >= 8


def test_weights_load_with_transformers_alone() -> None:
    model = AutoModelForImageTextToText.from_pretrained(WEIGHTS)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert model.config.video_token_id == AutoTokenizer.from_pretrained(WEIGHTS).convert_tokens_to_ids("<|video_pad|>")


def test_one_pair_costs_nine_tokens() -> None:
    facts = json.loads((WEIGHTS / "preprocessor_config.json").read_text())
    assert TOKENS_PER_PAIR == 9
    assert facts["patch_size"] * facts["merge_size"] == 28
    assert facts["min_pixels"] <= 84 * 84 <= facts["max_pixels"]


def test_training_can_go_on_from_the_shipped_weights() -> None:
    model = build_model(load_tokenizer(WEIGHTS))
    missing, unexpected = model.load_state_dict(start_weights(WEIGHTS), strict=False)
    assert not missing
    assert not unexpected


def test_the_shipped_tokenizer_is_the_one_that_training_builds() -> None:
    shipped = load_tokenizer(WEIGHTS).backend_tokenizer
    assert shipped.get_vocab() == build_tokenizer().get_vocab()
