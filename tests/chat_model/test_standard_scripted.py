"""LangChain's integration suite where it wants a capable model: the scripted one.

Template, tokenizer, frames, grammar, parser and streaming are real; only the logits are raised of what `sensible.py`
would write. It is not told what is demanded: the grammar has to see to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel

from tests.chat_model import sensible
from tests.chat_model.standard import Integration, needs_weights
from vreason_agent.chat_model import ChatVReason
from vreason_agent.model import unload
from vreason_agent.model.scripted import load_scripted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), needs_weights, pytest.mark.usefixtures("_scripted_model")]


@pytest.fixture(scope="module")
def _scripted_model() -> Iterator[None]:
    engine = load_scripted(sensible.write)
    yield
    unload(engine)


class TestScripted(Integration):
    """Content as text, schemas by `json_schema`; the model that a call names instead is the bundled one."""

    OUTPUT_VERSION = "v0"
    METHOD = "json_schema"

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatVReason

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "scripted", "output_version": self.OUTPUT_VERSION}

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": self.METHOD}


class TestScriptedV1(TestScripted):
    """Content as blocks, schemas by `function_calling`."""

    OUTPUT_VERSION = "v1"
    METHOD = "function_calling"
