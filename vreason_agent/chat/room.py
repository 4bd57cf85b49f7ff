"""How much of a model's context the pictures of one prompt take, counted before one of them is decoded.

This module opens no file and knows no LangChain message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vreason_agent.chat.langchain_errors import PromptTooLongError
from vreason_agent.model import ImagePart, Turn, VideoPart


@dataclass
class Room:
    """The context of one prompt.

    Attributes:
        context_length: Most tokens, prompt and answer together.
        count_tokens: Counts those of turns; of a picture it sees the size alone.
    """

    context_length: int
    count_tokens: Callable[[Sequence[Turn]], int]
    _parts: list[ImagePart | VideoPart] = field(default_factory=list, init=False)

    def take_video(self, timestamps_seconds: Sequence[float], height_px: int, width_px: int) -> None:
        """Take the room that one more video needs, with frames of this size at these times.

        Raises:
            PromptTooLongError: If the pictures so far need more than there is.
        """
        images = np.broadcast_to(np.uint8(0), (len(timestamps_seconds), height_px, width_px, 3))  # one byte of memory
        self._take(VideoPart(images, tuple(timestamps_seconds)))

    def take_image(self, height_px: int, width_px: int) -> None:
        """Take the room that one more image of this size needs; raises as `take_video` does."""
        self._take(ImagePart(np.broadcast_to(np.uint8(0), (height_px, width_px, 3))))

    def _take(self, part: ImagePart | VideoPart) -> None:
        self._parts.append(part)
        num_tokens = self.count_tokens([Turn("user", tuple(self._parts))])
        if num_tokens >= self.context_length:
            words = self._words()
            msg = (
                f"{words} make a prompt of {num_tokens} tokens, and the model's context holds {self.context_length}, "
                f"answer included; use fewer {words.split()[-1]}, or smaller ones "
                "(load_model(..., pixel_budget=PixelBudget(...)))"
            )
            raise PromptTooLongError(msg)

    def _words(self) -> str:
        num_frames = sum(len(part.images) for part in self._parts if isinstance(part, VideoPart))
        num_images = sum(isinstance(part, ImagePart) for part in self._parts)
        counts = {"images": num_images, "frames": num_frames}
        return " and ".join(f"{count} {name}" for name, count in counts.items() if count)
