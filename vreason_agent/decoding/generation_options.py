"""Which fields of transformers' `GenerationConfig` this loop applies, which it refuses, and which do nothing here.

Every field that transformers 5.23 has is in exactly one of the three tables; a test fails when a release adds one. This
module knows no model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from transformers import GenerationConfig

from vreason_agent.errors import ConfigError, quote


class Refusal(NamedTuple):
    """Why a field is refused.

    Attributes:
        harmless: Values of the field that ask for nothing.
        remedy: What to do instead; `None`: leave the field out.
    """

    harmless: tuple[object, ...] = (None,)
    remedy: str | None = None


APPLIED = frozenset(
    {
        *("max_length", "max_new_tokens", "min_length", "min_new_tokens", "max_time", "stop_strings", "do_sample"),
        *("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"),
        *("repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"),
        *("bad_words_ids", "renormalize_logits", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values"),
        *("exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens", "sequence_bias"),
        *("watermarking_config", "output_scores", "output_logits", "return_dict_in_generate"),
        *("pad_token_id", "eos_token_id"),
    }
)
"""Honored by processors, stopping criteria or the loop."""

WITHOUT_EFFECT = frozenset(
    {
        # of beam search only, which `num_beams` refuses
        *("early_stopping", "length_penalty"),
        # of an assistant only, which the fields that name one refuse
        *("num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"),
        *("max_matching_ngram_size", "assistant_lookbehind", "target_lookbehind"),
        # of encoder-decoder models and of prompts that are not given
        *("decoder_start_token_id", "bos_token_id"),
        # of speed and memory, not of the result
        *("max_cache_len", "cache_config", "compile_config", "disable_compile", "low_memory"),
        "transformers_version",
    }
)
"""Changes no token here, nor in transformers where nothing refused is set."""

REFUSED: Mapping[str, Refusal] = {
    "num_beams": Refusal((None, 1)),
    "num_beam_groups": Refusal((None, 1)),
    "diversity_penalty": Refusal((None, 0)),
    "constraints": Refusal(remedy="give decode a logits processor with is_grammar=True instead"),
    "force_words_ids": Refusal(remedy="give decode a logits processor with is_grammar=True instead"),
    "num_return_sequences": Refusal((None, 1), "repeat the row in input_ids, once for each sequence"),
    "penalty_alpha": Refusal((None, 0)),
    "dola_layers": Refusal(),
    "token_healing": Refusal((None, False)),
    "guidance_scale": Refusal((None, 1)),
    "use_mtp": Refusal((None, False)),
    "prompt_lookup_num_tokens": Refusal(),
    "assistant_early_exit": Refusal(),
    "speculation_type": Refusal(),
    "assistant_ensemble_weight": Refusal(),
    "is_assistant": Refusal((None, False)),
    "use_cache": Refusal((None, True)),
    "cache_implementation": Refusal((None, "dynamic")),
    "prefill_chunk_size": Refusal(),
    "continuous_batching_config": Refusal(),
    "output_attentions": Refusal((None, False)),
    "output_hidden_states": Refusal((None, False)),
}
"""Changes the tokens or what is returned, and is not implemented."""


def check_generation_config(generation_config: GenerationConfig, *, done_before: Collection[str] = ()) -> None:
    """Refuse what this loop does not do rather than ignore it.

    Args:
        generation_config: Options as given.
        done_before: Fields whose work the caller has done already.

    Raises:
        ConfigError: a field of `REFUSED` asks for something.
    """
    for name, refusal in REFUSED.items():
        value = getattr(generation_config, name, None)
        if name not in done_before and value not in refusal.harmless:
            remedy = refusal.remedy or f"leave {name} out"
            raise ConfigError(f"{name}={quote(value)} is not supported by V-Reason's loop; {remedy}")
