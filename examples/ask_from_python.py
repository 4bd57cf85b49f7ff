"""Ask a question about a video from Python: one pass of the model, its answer, and how settled it was.

Run: python examples/ask_from_python.py [VIDEO QUESTION [OPTION ...]]
Without arguments it writes a demo clip of the bundled model's world and asks about that.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from vreason_agent.chat_model import ChatVReason
from vreason_agent.confidence import confidence_of, describe_confidence
from vreason_agent.messages import video_question
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip


def main(arguments: list[str]) -> None:
    if arguments:
        ask(arguments[0], arguments[1], arguments[2:])
        return
    with tempfile.TemporaryDirectory() as folder:
        path, clip = Path(folder) / "demo.mp4", make_clip(seed=0)
        write_clip(path, clip)
        question = clip.questions[0]
        ask(str(path), question.question, list(question.options))
        print(f"True answer: {question.answer}")


def ask(video: str, question: str, options: list[str]) -> None:
    chat_model = ChatVReason(num_frames=8, max_frames=8)  # model="Qwen/Qwen2.5-VL-3B-Instruct" for real footage
    message = chat_model.invoke([video_question(video, question, options=options)])
    print(f"Question: {question} {' / '.join(options)}")
    print(f"Reasoning: {message.additional_kwargs.get('reasoning_content', '')}")
    print(f"Answer: {message.content}")
    for sentence in describe_confidence(confidence_of(message)):
        print(f"- {sentence}")


if __name__ == "__main__":
    main(sys.argv[1:])
