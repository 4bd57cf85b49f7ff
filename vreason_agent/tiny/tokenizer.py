"""Tokenizer of the bundled model: a byte-level BPE with the world's words and times as single tokens.

Times from 0.0 to 60.0 are one token each, so that finding a moment in the prompt is a matter of matching one token.
Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from vreason_agent.tiny.questions import ANSWERS, KINDS, NOT_SHOWN, WORDINGS
from vreason_agent.tiny.scene import CELLS, COLORS, SHAPES

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
MARKS = ("<think>", "</think>", "<answer>", "</answer>")
VOCAB_SIZE = 1280
MAX_TIME_TENTHS = 600
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPLIT = r"\d+\.\d| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"


def corpus() -> Iterator[str]:
    """Texts whose pieces become single tokens."""
    words = [
        *COLORS,
        *SHAPES,
        *CELLS,
        *KINDS,
        "no",
        "on",
        "off",
        "to",
        "same",
        "nothing",
        "so",
        "Options:",
        "/",
        "-",
        "user",
        "assistant",
        "system",
        "tool",
        NOT_SHOWN,
        *(str(i) for i in range(10)),
    ]
    words += [answer for answers in ANSWERS.values() for answer in answers]
    wordings = [w.format(asked="red circle", hitter="blue square") for pair in WORDINGS.values() for w in pair]
    for _ in range(4):
        for word in words:
            yield f"{word} {word}"
        yield from wordings
        for tenths in range(MAX_TIME_TENTHS + 1):
            yield f"{tenths / 10:.1f}"


def build_tokenizer() -> Tokenizer:
    """Train the tokenizer; the same every time."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(MARKS),
        min_frequency=1,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in MARKS])
    return tokenizer


def save_tokenizer(folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja as a published Qwen folder has them."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=build_tokenizer(),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t not in ("<|endoftext|>", "<|im_end|>")],
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
