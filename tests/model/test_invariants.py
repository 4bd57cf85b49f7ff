"""What the method promises (docs/method.md), on small random models of every family beyond the first three."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.models.llama.modeling_llama import eager_attention_forward

from tests.model.conftest import ask, make_video
from tests.model.family_folders import NAMES, write_family
from tests.model.published import config_of, write_folder
from vreason_agent.decoding import VReasonConfig, decode
from vreason_agent.errors import ConfigError, GenerationError
from vreason_agent.model import PixelBudget, VideoLanguageModel, load_model
from vreason_agent.model.check import check_model
from vreason_agent.model.engine import generation_config
from vreason_agent.model.loading import build_model
from vreason_agent.model.vision import preprocess_prompt, vision_inputs

pytestmark = pytest.mark.filterwarnings("ignore::vreason_agent.model.engine.VideoTimeWarning")


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VideoLanguageModel:
    """Each family in turn, written by `save_pretrained` and loaded from the folder."""
    return load_model(write_family(tmp_path_factory.mktemp("family") / "m", request.param), device="cpu")


def test_the_methods_checks_pass_on_every_family(model: VideoLanguageModel) -> None:
    results = list(check_model(model))
    assert len(results) == 5
    assert [result for result in results if not result.passed] == []


def test_a_batch_gives_what_each_request_gives_alone(model: VideoLanguageModel) -> None:
    strong = VReasonConfig(schedule="maximize", learning_rate=0.2, update_interval=1)
    requests = [
        replace(ask(text, make_video(count, step=1.0), temperature=0.8, seed=seed), vreason=strong)
        for text, count, seed in (("What?", 4, 1), ("What happens in the clip, and when?", 6, 2))
    ]
    together, alone = model.generate(requests), [model.generate([request])[0] for request in requests]
    for one, other in zip(together, alone, strict=True):
        assert one.token_ids == other.token_ids
        assert one.trace.entropy == pytest.approx(other.trace.entropy, abs=1e-4)
    plain = model.generate([replace(requests[0], vreason=VReasonConfig(schedule="off"))])[0]
    assert plain.trace.entropy != together[0].trace.entropy


def test_options_are_scored_in_a_batch_as_alone_or_not_at_all(model: VideoLanguageModel) -> None:
    requests = [
        replace(ask(text, make_video(count, step=1.0)), options=("red", "dark blue"))
        for text, count in (("What?", 4), ("What happens in the clip, and when?", 6))
    ]
    together, alone = model.generate(requests), [model.generate([request])[0] for request in requests]
    for one, other in zip(together, alone, strict=True):
        if one.option_scores is None or other.option_scores is None:
            assert one.option_scores is other.option_scores
            assert model.family.name.startswith(("qwen3_5", "gemma4")), "only a window or a state has no earlier place"
            continue
        assert one.option_scores.before == pytest.approx(other.option_scores.before, abs=1e-3)
        assert len(one.option_scores.before) == 2
        assert max(one.option_scores.before) < 0


class Reference:
    """The model without a cache, differentiated in full, `delta` added to what its last layer attends to."""

    def __init__(self, hf_model: Any, last_layer: Any) -> None:
        self.hf_model, self.attention = hf_model, last_layer.self_attn
        self.video: Any = None
        self.delta: Any = None
        AttentionInterface.register("reference", self._attend)
        AttentionMaskInterface.register("reference", eager_mask)

    def _attend(self, module: Any, query: Any, key: Any, value: Any, mask: Any, **kwargs: Any) -> Any:
        if module is self.attention:
            self.values = value[:, :, self.video]
            if self.delta is not None:
                value = value.clone()
                value[:, :, self.video] = value[:, :, self.video] + self.delta
        return eager_attention_forward(module, query, key, value, mask, **kwargs)

    def entropy(self, inputs: dict[str, Any]) -> torch.Tensor:
        text = self.hf_model.config.get_text_config()
        before, text._attn_implementation = text._attn_implementation, "reference"
        try:
            logits = self.hf_model(**inputs, use_cache=False).logits[0, -1]
        finally:
            text._attn_implementation = before
        entropy: torch.Tensor = torch.distributions.Categorical(logits=logits).entropy()
        return entropy


def test_a_steered_run_equals_a_full_differentiation(model: VideoLanguageModel) -> None:
    """Entropies of the first updates against autograd through the whole model with `torch.optim.Adam`."""
    config = VReasonConfig(schedule="minimize", warmup_steps=1, update_interval=1, learning_rate=0.1, apply_to="next")
    prompt, hf_model = model.encoder.encode(ask(video=make_video(4)).turns), model.hf_model
    prefill = vision_inputs(model.family, hf_model, [preprocess_prompt(prompt, model.encoder)], model.device)
    if model.family.needs_token_types:
        prefill["mm_token_type_ids"] = prompt.token_types[None]
    positions = prompt.position_ids[None] if prompt.position_ids.ndim == 1 else prompt.position_ids[:, None]
    ids, video = prompt.input_ids[None], prompt.video_mask[None]
    rules = generation_config(replace(ask().sampling, max_new_tokens=6), (), model.pad_token_id)
    result = decode(
        hf_model, input_ids=ids, video_mask=video, position_ids=positions, prefill_inputs=prefill, config=config,
        generation_config=rules, find_point=model.family.steering_point,
    )  # fmt: skip
    reference = Reference(hf_model, model.family.steering_point(hf_model).layer)
    reference.video = video[0].nonzero().squeeze(1)
    optimizer: Any = None
    for step, token in enumerate(result.sequences[0]):
        inputs = {"input_ids": ids, "position_ids": positions, **prefill}
        entropy = reference.entropy(inputs)
        assert float(entropy.detach()) == pytest.approx(result.traces[0].entropy[step], abs=2e-4)
        if reference.delta is None:
            reference.delta = torch.zeros_like(reference.values, requires_grad=True)
            rate = config.learning_rate * float(reference.values.pow(2).mean().sqrt())
            optimizer = torch.optim.Adam([reference.delta], lr=rate, betas=config.betas, eps=config.eps)
        elif step >= 1:
            (reference.delta.grad,) = torch.autograd.grad(reference.entropy(inputs), [reference.delta])
            optimizer.step()
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
        positions = torch.cat([positions, positions[..., -1:] + 1], dim=-1)
        if "mm_token_type_ids" in prefill:
            prefill["mm_token_type_ids"] = torch.nn.functional.pad(prefill["mm_token_type_ids"], (0, 1))


def test_lite_drops_tokens_beside_recurrent_layers_and_is_refused_with_windows(model: VideoLanguageModel) -> None:
    request = replace(ask(video=make_video(8)), vreason=VReasonConfig(lite=True))
    if model.family.name == "gemma4":
        with pytest.raises(GenerationError, match="Lite cannot drop video tokens from layers with a sliding window"):
            model.generate([request])
        return
    trace = model.generate([request])[0].trace
    assert (trace.num_video_tokens_kept, trace.steered) == (-(-trace.num_video_tokens // 2), True)


def test_thinking_is_switched_where_the_template_knows_it(tmp_path: Path) -> None:
    folder = write_family(tmp_path / "m", "qwen3_5")
    prompts = []
    for thinking in (None, True, False):
        model = build_model(folder, name="m", device="cpu", enable_thinking=thinking)
        prompts.append(str(model.tokenizer.decode(model.encoder.encode(ask().turns).input_ids)))
    assert prompts[0] == prompts[1]
    assert prompts[0].endswith("<|im_start|>assistant\n<think>\n")
    assert prompts[2].endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_a_model_of_one_frame_size_refuses_another(tmp_path: Path) -> None:
    model = build_model(
        write_family(tmp_path / "m", "internvl"), name="m", device="cpu", pixel_budget=PixelBudget(4, 9)
    )
    with pytest.raises(ConfigError, match="frames of 16 x 16 px only; leave pixel_budget out"):
        model.generate([ask()])


def test_a_hybrid_cache_is_continued_from_where_it_ends(tmp_path: Path) -> None:
    """The recurrent state cannot be cropped: a prefix is read once and goes on, as often as it is copied."""
    model = build_model(write_family(tmp_path / "m", "qwen3_5"), name="m", device="cpu")
    prompt, hf_model = model.encoder.encode(ask(video=make_video(4)).turns), model.hf_model
    prefill = vision_inputs(model.family, hf_model, [preprocess_prompt(prompt, model.encoder)], model.device)
    ids, positions = prompt.input_ids[None], prompt.position_ids[:, None]
    rules = generation_config(replace(ask().sampling, max_new_tokens=1), (), model.pad_token_id)
    first = decode(
        hf_model, input_ids=ids[:, :-4], video_mask=prompt.video_mask[None, :-4], position_ids=positions[..., :-4],
        prefill_inputs=prefill, generation_config=rules,
    )  # fmt: skip
    rules.max_new_tokens = 8
    whole = decode(
        hf_model, input_ids=ids, video_mask=prompt.video_mask[None], position_ids=positions, prefill_inputs=prefill,
        generation_config=rules,
    )  # fmt: skip
    again = decode(
        hf_model, input_ids=ids, video_mask=prompt.video_mask[None], position_ids=positions,
        generation_config=rules, cache=first.cache,
    )  # fmt: skip
    assert again.sequences == whole.sequences


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl"])
def test_a_last_layer_with_a_window_decodes_and_is_not_steered(family: str, tmp_path: Path) -> None:
    config = config_of(family)
    window = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1}
    config["text_config"] = {**config["text_config"], **window}
    model = build_model(write_folder(tmp_path / "m", family, config=config), name="m", device="cpu")
    assert len(model.generate([ask()])[0].token_ids) == 12
    with pytest.raises(GenerationError, match=r"the kind 'sliding_attention' and not full.*--schedule off"):
        model.generate([ask(schedule="switching")])
