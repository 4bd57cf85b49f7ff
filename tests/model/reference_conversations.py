"""Conversations whose tokens are recorded from the library's processors. Only plain Python here."""

from __future__ import annotations

from typing import Any, NamedTuple

FRAME_PIXELS = (4096, 8192)


class Conversation(NamedTuple):
    """A question about one video, and perhaps an image before it."""

    model_type: str
    times: tuple[float, ...]
    has_image: bool = False
    text: str = "What happens at 3.5 s? Ünïcode \U0001f600"

    @property
    def duration_ms(self) -> int:
        """The duration that makes the library's sampled_fps frames per second exact."""
        step = self.times[1] - self.times[0] if len(self.times) > 1 else 1.0
        return round(1000 * step * len(self.times))

    def messages(self) -> list[dict[str, Any]]:
        image = [{"type": "image"}] if self.has_image else []
        content = [*image, {"type": "video"}, {"type": "text", "text": self.text}]
        return [{"role": "user", "content": content}]


EVEN = tuple(0.5 * k for k in range(8))
CONVERSATIONS = {
    "qwen2_vl": Conversation("qwen2_vl", EVEN),
    "qwen2_vl with image": Conversation("qwen2_vl", EVEN[:4], has_image=True),
    "qwen2_5_vl": Conversation("qwen2_5_vl", EVEN),
    "qwen2_5_vl dense": Conversation("qwen2_5_vl", tuple(k / 8 for k in range(16))),
    "qwen2_5_vl odd": Conversation("qwen2_5_vl", EVEN[:5], has_image=True),
    "qwen3_vl": Conversation("qwen3_vl", EVEN),
    "qwen3_vl uneven": Conversation("qwen3_vl", (0.0, 0.25, 3.0, 3.5, 11.0, 12.5), has_image=True),
}
