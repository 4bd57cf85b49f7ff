"""What holds of ChatVReason in every one of LangChain's standard suites."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from tests.chat_model.test_chat_model import added_up
from vreason_agent.chat_model import ChatVReason
from vreason_agent.model.source import bundled_folder

needs_weights = pytest.mark.skipif(
    not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here"
)


class PlainChatVReason(ChatVReason):
    """A plain subclass with default parameters."""


class Flags:
    """What holds of the model in every suite."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return PlainChatVReason

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return False  # nothing is fetched from a network

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_video_inputs(self) -> bool:
        return True

    @property
    def returns_usage_metadata(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> Any:
        return {"invoke": ["reasoning_output"], "stream": ["reasoning_output"]}

    @property
    def model_override_value(self) -> str:
        return "tiny"


class Integration(Flags, ChatModelIntegrationTests):
    """The integration suite, with the network played from memory."""

    @pytest.fixture(autouse=True)
    def _pictures_from_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _, data = cv2.imencode(".png", np.full((84, 84, 3), 128, dtype=np.uint8))
        monkeypatch.setattr("httpx.get", lambda *_, **__: SimpleNamespace(content=data.tobytes()))

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)
        message = added_up(model.stream("Hello")) if stream else model.invoke("Hello")
        assert cast("Any", message.usage_metadata)["output_token_details"]["reasoning"] > 0
        return message
