"""Ask a question about a video from Python: one pass of the model, its answer, and how settled it was.

Run: vreason-agent demo-video demo.mp4   # writes a clip of the bundled model's world and prints a question about it
     python examples/ask_from_python.py demo.mp4 QUESTION [OPTION ...]
"""

from __future__ import annotations

import sys

from vreason_agent.chat_model import ChatVReason
from vreason_agent.confidence import confidence_of, describe_confidence
from vreason_agent.messages import video_question


def ask(video: str, question: str, options: list[str]) -> None:
    chat_model = ChatVReason(num_frames=32)  # model="Qwen/Qwen2.5-VL-3B-Instruct" for real footage
    message = chat_model.invoke([video_question(video, question, options=options)])
    print(f"Question: {question} {' / '.join(options)}")
    print(f"Reasoning: {message.additional_kwargs.get('reasoning_content', '')}")
    print(f"Answer: {message.content}")
    for sentence in describe_confidence(confidence_of(message)):
        print(f"- {sentence}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    ask(sys.argv[1], sys.argv[2], sys.argv[3:])
