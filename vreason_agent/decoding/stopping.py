"""When a sequence ends, and why: transformers' stopping criteria read row by row.

This module knows nothing of models or steering.
"""

from __future__ import annotations

from typing import Literal

import torch
from transformers import MaxLengthCriteria, MaxTimeCriteria, PreTrainedTokenizerBase, StoppingCriteriaList

from vreason_agent.errors import ConfigError, quote

FinishReason = Literal["stop", "length", "cancelled"]


class StopRules:
    """Tells why each row ends after a token, if it does.

    Criteria on length or time give `length`; every other one (end token, stop string, the caller's) gives `stop`,
    which wins where both hold.
    """

    def __init__(self, criteria: StoppingCriteriaList) -> None:
        self._limits = [c for c in criteria if isinstance(c, MaxLengthCriteria | MaxTimeCriteria)]
        self._stops = StoppingCriteriaList(
            c for c in criteria if not isinstance(c, MaxLengthCriteria | MaxTimeCriteria)
        )

    def check(
        self, input_ids: torch.Tensor, scores: tuple[torch.Tensor, ...] | None = None
    ) -> list[FinishReason | None]:
        """Return a reason or `None` per row.

        Args:
            input_ids: `(batch, length)`, prompt and everything generated so far.
            scores: Processed scores per step, for criteria that read them.
        """
        num_rows = input_ids.shape[0]
        stops = self._stops(input_ids, scores).tolist() if self._stops else [False] * num_rows
        is_full = any(bool(torch.as_tensor(limit(input_ids, scores)).any()) for limit in self._limits)
        limit_reason: FinishReason | None = "length" if is_full else None
        return ["stop" if stop else limit_reason for stop in stops]


def check_stop_strings(
    stop_strings: str | list[str] | None, tokenizer: PreTrainedTokenizerBase | None, *, keyword: str
) -> None:
    """Refuse stop strings without the tokenizer that finds them; `keyword` is the caller's name for it.

    Raises:
        ConfigError: `stop_strings` is given and `tokenizer` is not.
    """
    if stop_strings is not None and tokenizer is None:
        raise ConfigError(
            f"stop_strings={quote(stop_strings)} are found in text, which needs the model's tokenizer; pass it as "
            f"{keyword}=tokenizer"
        )
