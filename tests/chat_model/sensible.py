"""What a capable model would want to write when LangChain's suite asks it something; never a message."""

from __future__ import annotations

import json
import re
from typing import Any

THOUGHT = "<think>Clear.</think>"
JOKE = {"setup": "Cat?", "punchline": "Mew."}
_CALLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (r"magic_function\(3\)", "magic_function", {"input": 3}),
    (r"magic_function_no_args\(\)", "magic_function_no_args", {}),
    (r"Pirate greeting", "greeting_generator", {"answer_style": "Pirate"}),
    (r"weather in San Francisco", "get_weather", {"location": "SF"}),
    (r"Hello!", "get_weather", {"location": "here"}),
    (r"What is 3 \+ 4", "my_adder_tool", {"a": 3, "b": 4}),
    (r"Create a customer named '(?P<customer_name>[^']+)'", "unicode_customer", {"description": "ü"}),
)


def write(prompt: str) -> str:
    """Return what to write after a prompt; what is demanded is known from its words and tools alone."""
    question = prompt.rpartition("<|im_start|>user\n")[2]
    if "<tool_response>" in question:
        return f"{THOUGHT}<answer>So it is.</answer>"
    for pattern, name, args in _CALLS:
        if found := re.search(pattern, question):
            return f"{THOUGHT}\n{_call(name, {**found.groupdict(), **args})}"
    if "joke about cats" in question:
        return f"{THOUGHT}\n{_joke(prompt, question)}"
    return f"{THOUGHT}<answer>Hello.</answer>"


def tool_names(prompt: str) -> list[str]:
    """Return the names of the tools that a prompt defines."""
    defined = re.search(r"<tools>\n(\{.*?)\n</tools>", prompt, re.DOTALL)
    return [json.loads(line)["function"]["name"] for line in defined[1].splitlines()] if defined else []


def _joke(prompt: str, question: str) -> str:
    joke = {name: text for name, text in JOKE.items() if f"no {name}" not in question}
    names = tool_names(prompt)
    return _call(names[0], joke) if names else json.dumps(joke)


def _call(name: str, args: dict[str, Any]) -> str:
    said = json.dumps({"name": name, "arguments": args}, ensure_ascii=False)
    return f"<tool_call>\n{said}\n</tool_call>"
