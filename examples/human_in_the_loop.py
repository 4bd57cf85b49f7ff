"""The ladder with a checkpointer and a human: before the budget is exceeded the run pauses, and goes on when told.

Run: python examples/human_in_the_loop.py [go_on|stop]
The answers are scripted, so that the pause is certain; any chat model with a confidence stands in the same place.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from vreason_agent.graphs import Budget, ScriptedChatModel, ScriptedReply, build_video_qa_graph
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip


def main(action: str) -> None:
    script = [
        ScriptedReply("red", {"entropy_drop": 0.2}),
        ScriptedReply("blue", {"entropy_drop": 0.8}),
        ScriptedReply("blue", {"entropy_drop": 0.9}),
    ]
    graph: Any = build_video_qa_graph(
        ScriptedChatModel(replies=script),
        budget=Budget(max_attempts=2),
        checkpointer=InMemorySaver(),  # SqliteSaver or PostgresSaver to go on in another process
    )
    thread = {"configurable": {"thread_id": "1"}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.mp4"
        write_clip(path, make_clip(seed=0))
        result = graph.invoke({"video": str(path), "question": "What color is the circle?"}, thread)
        while "__interrupt__" in result:
            asked = result["__interrupt__"][0].value
            print(f"{asked['question']}\n  {asked['reason']}\n  best guess: {asked['best_guess']}\n> {action}")
            result = graph.invoke(Command(resume={"action": action}), thread)
    print(f"Answer: {result['answer']} ({result['decision']['reason']})")


if __name__ == "__main__":
    if (action := sys.argv[1] if len(sys.argv) > 1 else "go_on") not in ("go_on", "stop"):
        sys.exit(f"{action!r} is not a decision: give go_on or stop")
    main(action)
