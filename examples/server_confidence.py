"""Signals from any chat model's message: what a server's `logprobs` say of an answer, without `ChatVReason`.

Run: python examples/server_confidence.py
A served model is asked with `ChatOpenAI(base_url=..., model=..., logprobs=True, top_logprobs=5)`. Here the message is
written out, as such a server gives it: nothing is asked.
"""

from __future__ import annotations

import math

from langchain_core.messages import AIMessage

from vreason_agent.confidence import confidence_of, describe_confidence

TEXT = "<think> The dog leaves the water and then it shakes </think> <answer> it shakes itself </answer>"
CHANCES = [0.9, 0.4, 0.5, 0.4, 0.6, 0.5, 0.4, 0.5, 0.6, 0.7] + [0.97] * 6


def main() -> None:
    confidence = confidence_of(served_message())
    print(f"Answer: {confidence.answer['text']}")
    print(f"Seen of the vocabulary: {confidence.units['vocab']}; entropy in {confidence.units['entropy']}")
    for sentence in describe_confidence(confidence):
        print(f"- {sentence}")


def served_message() -> AIMessage:
    """Return a message with log-probabilities in the standard shape, two alternatives listed for each token."""
    content = [
        {
            "token": f"{word} ",
            "logprob": math.log(chance),
            "top_logprobs": [
                {"token": f"{word} ", "logprob": math.log(chance)},
                {"token": "?", "logprob": math.log((1 - chance) / 2)},
            ],
        }
        for word, chance in zip(TEXT.split(), CHANCES, strict=True)
    ]
    return AIMessage(content=TEXT, response_metadata={"logprobs": {"content": content}})


if __name__ == "__main__":
    main()
