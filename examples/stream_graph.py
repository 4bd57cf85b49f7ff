"""The question graph, streamed step by step: what it looks at, what the model writes, what is decided and why.

Run: vreason-agent demo-video demo.mp4   # writes a clip of the bundled model's world and prints a question about it
     python examples/stream_graph.py demo.mp4 QUESTION [OPTION ...]
"""

from __future__ import annotations

import sys
from typing import Any

from vreason_agent.chat_model import ChatVReason
from vreason_agent.graphs import AcceptPolicy, Budget, Ladder, build_video_qa_graph


def follow(video: str, question: str, options: list[str]) -> None:
    graph = build_video_qa_graph(
        ChatVReason(),
        ladder=Ladder(num_frames=4, max_frames=32),
        policy=AcceptPolicy(max_retries=1),
        budget=Budget(max_attempts=6),
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
    print(f"Answer: {result['answer']} (best guess: {result['best_guess']['answer']})")
    print(f"Spent: {result['spent']}")


def tell(event: dict[str, Any]) -> None:
    if event["event"] == "sample":
        print(f"\nLooking at {event['num_frames']} frames: {[round(time, 2) for time in event['timestamps_seconds']]}")
    elif event["event"] == "answer":
        print(f"\nAnswered {event['answer']!r}; {event['entropy']}")
    else:
        print(f"{event['action']}: {event['reason']}")


def written(message: Any) -> str:
    """Return what a streamed piece adds, the answer in brackets after the thinking."""
    answer = f" [{message.content}]" if message.content else ""
    return str(message.additional_kwargs.get("reasoning_content", "")) + answer


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    follow(sys.argv[1], sys.argv[2], sys.argv[3:])
