"""The question graph, streamed step by step: what it looks at, what the model writes, what is decided and why.

Run: python examples/stream_graph.py [VIDEO QUESTION [OPTION ...]]
Without arguments it writes a demo clip of the bundled model's world and asks about that.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from vreason_agent.chat_model import ChatVReason
from vreason_agent.graphs import AcceptPolicy, Budget, Ladder, build_video_qa_graph
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip


def main(arguments: list[str]) -> None:
    if arguments:
        follow(arguments[0], arguments[1], arguments[2:])
        return
    with tempfile.TemporaryDirectory() as folder:
        path, clip = Path(folder) / "demo.mp4", make_clip(seed=0)
        write_clip(path, clip)
        question = clip.questions[0]
        follow(str(path), question.question, list(question.options))
        print(f"True answer: {question.answer}")


def follow(video: str, question: str, options: list[str]) -> None:
    graph = build_video_qa_graph(
        ChatVReason(),
        ladder=Ladder(num_frames=4, max_frames=16),
        policy=AcceptPolicy(max_retries=1),
        budget=Budget(max_attempts=4),
    )
    asked: Any = {"video": video, "question": question, "options": options}
    result: dict[str, Any] = {}
    parts: Any = graph.stream(asked, stream_mode=["custom", "messages", "values"])
    for mode, data in parts:
        if mode == "custom":
            tell(data)
        elif mode == "messages":
            print(written(data[0]), end="", flush=True)
        else:
            result = data
    print(f"Answer: {result['answer']} (best guess: {result['best_guess']})")
    print(f"Spent: {result['spent']}")


def tell(event: dict[str, Any]) -> None:
    if event["event"] == "sample":
        print(f"\nLooking at {event['num_frames']} frames: {[round(time, 2) for time in event['timestamps_seconds']]}")
    elif event["event"] == "answer":
        print(f"\nAnswered {event['answer']!r}; {event['entropy']}")
    else:
        print(f"{event['action']}: {event['reason']}")


def written(message: Any) -> str:
    """Return what a streamed piece adds, thinking included."""
    return str(message.additional_kwargs.get("reasoning_content", "")) + str(message.content)


if __name__ == "__main__":
    main(sys.argv[1:])
