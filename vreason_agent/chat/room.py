"""How much of a model's context the videos of one prompt take, counted before a frame of them is decoded.

This module opens no file and knows no LangChain message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vreason_agent.chat.langchain_errors import PromptTooLongError
from vreason_agent.model import Turn, VideoPart


@dataclass
class Room:
    """The context of one prompt.

    Attributes:
        context_length: Most tokens, prompt and answer together.
        count_tokens: Counts those of turns; of a picture it sees the size alone.
    """

    context_length: int
    count_tokens: Callable[[Sequence[Turn]], int]
    _videos: list[VideoPart] = field(default_factory=list, init=False)

    def take_video(self, timestamps_seconds: Sequence[float], height_px: int, width_px: int) -> None:
        """Take the room that one more video needs, with frames of this size at these times.

        Raises:
            PromptTooLongError: If the videos so far need more than there is.
        """
        images = np.broadcast_to(np.uint8(0), (len(timestamps_seconds), height_px, width_px, 3))  # one byte of memory
        self._videos.append(VideoPart(images, tuple(timestamps_seconds)))
        num_tokens = self.count_tokens([Turn("user", tuple(self._videos))])
        if num_tokens >= self.context_length:
            num_frames = sum(len(video.images) for video in self._videos)
            msg = (
                f"{num_frames} frames make a prompt of {num_tokens} tokens, and the model's context holds "
                f"{self.context_length}, answer included; use fewer frames, or smaller ones "
                "(load_model(..., pixel_budget=PixelBudget(...)))"
            )
            raise PromptTooLongError(msg)
