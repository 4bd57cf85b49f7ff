"""LangChain's standard suites on the bundled model, with every flag that holds of a local video model.

What only a capable model can do is expected to fail here; `test_standard_scripted.py` has it.
"""

from __future__ import annotations

import pytest
from langchain_tests.unit_tests import ChatModelUnitTests

from tests.chat_model.standard import Flags, Integration, needs_weights

TOO_SMALL = "asked about anything but its world, the bundled model thinks on to its token limit"
BEYOND_THE_BUNDLED_MODEL = {
    "test_tool_calling",
    "test_tool_calling_async",
    "test_bind_runnables_as_tools",
    "test_tool_choice",
    "test_tool_calling_with_no_arguments",
    "test_structured_output",
    "test_structured_output_async",
    "test_structured_output_pydantic_2_v1",
    "test_structured_output_optional_param",
    "test_json_mode",
    "test_agent_loop",
    "test_unicode_tool_call_integration",
}


class TestUnit(Flags, ChatModelUnitTests):
    """The unit suite; needs no weights."""


@needs_weights
@pytest.mark.slow
@pytest.mark.timeout(600)
class TestBundled(Integration):
    """On the bundled model."""

    @pytest.fixture(autouse=True)
    def _what_is_beyond_it_fails(self, request: pytest.FixtureRequest) -> None:
        if request.node.originalname in BEYOND_THE_BUNDLED_MODEL:
            request.applymarker(pytest.mark.xfail(reason=TOO_SMALL, strict=True))
