"""A chain with `ChatVReason` where another chat model would stand: several videos at once, answers with signals.

Run: python examples/chain.py
Uses the bundled model on two clips of its world; name a real model for real footage.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel

from vreason_agent.chat_model import ChatVReason
from vreason_agent.confidence import confidence_of
from vreason_agent.question import question_text
from vreason_agent.tiny.render import write_clip
from vreason_agent.tiny.world import make_clip

PROMPT = ChatPromptTemplate.from_messages(
    [("human", [{"type": "video", "url": "{video}"}, {"type": "text", "text": "{question}"}])]
)


def main() -> None:
    chat_model = ChatVReason(num_frames=32)  # model="Qwen/Qwen2.5-VL-3B-Instruct" for real footage
    chain = PROMPT | chat_model | RunnableParallel(answer=StrOutputParser(), confidence=RunnableLambda(confidence_of))
    with tempfile.TemporaryDirectory() as folder:
        asked = [demo(Path(folder) / f"{seed}.mp4", seed) for seed in (0, 1)]
        for question, result in zip(asked, chain.batch(asked), strict=True):
            print(f"Question: {question['question']}")
            print(f"Answer: {result['answer']} (true: {question['true_answer']})")
            print(f"Probability of its tokens: {result['confidence'].signal('answer_probability')}")


def demo(path: Path, seed: int) -> dict[str, str]:
    """Write a clip of the bundled model's world and return what to ask about it."""
    clip = make_clip(seed=seed)
    write_clip(path, clip)
    question = clip.questions[0]
    text = question_text(question.question, question.options)
    return {"video": str(path), "question": text, "true_answer": question.answer}


if __name__ == "__main__":
    main()
