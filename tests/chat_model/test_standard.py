"""LangChain's standard suites on the bundled model.

It was not trained on tools: the integration suite's tests of tools and structured output, which want exact arguments,
skip here, and `test_tools.py` has both on the scripted model.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from vreason_agent.chat_model import ChatVReason

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class ShortChatVReason(ChatVReason):
    """Ends every answer early: the suites ask about anything but the bundled model's world."""

    max_tokens: int = 32


class Flags:
    """What holds of the model in both suites."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ShortChatVReason

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"device": "cpu"}

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return False  # nothing is fetched from a network

    @property
    def supports_video_inputs(self) -> bool:
        return True

    @property
    def returns_usage_metadata(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "tiny"


class TestUnit(Flags, ChatModelUnitTests):
    """The unit suite."""


class TestIntegration(Flags, ChatModelIntegrationTests):
    """The integration suite, with the network played from memory."""

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False

    @pytest.fixture(autouse=True)
    def _pictures_from_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _, data = cv2.imencode(".jpg", np.full((84, 84, 3), 128, dtype=np.uint8))
        monkeypatch.setattr("httpx.get", lambda *_, **__: SimpleNamespace(content=data.tobytes()))
