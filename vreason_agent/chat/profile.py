"""What a model can do, in the words of LangChain's model profiles, known before its weights are loaded.

Agents read it: with `structured_output` they let the model answer by schema itself, and `max_input_tokens` is what a
share of the context means to middleware. This module loads no weights and reaches no network.
"""

from __future__ import annotations

from langchain_core.language_models import ModelProfile

from vreason_agent.model.model_files import optional_json
from vreason_agent.model.source import default_model, local_folder

_ABILITIES = ModelProfile(
    open_weights=True,
    text_inputs=True,
    image_inputs=True,
    image_url_inputs=False,  # no address is ever fetched
    pdf_inputs=False,
    audio_inputs=False,
    video_inputs=True,
    image_tool_message=True,
    pdf_tool_message=False,
    reasoning_output=True,
    text_outputs=True,
    image_outputs=False,
    audio_outputs=False,
    video_outputs=False,
    tool_calling=True,
    tool_choice=True,
    tool_call_streaming=True,
    structured_output=True,
    attachment=True,
    temperature=True,
)


def model_profile(model: str | None, revision: str | None) -> ModelProfile:
    """Return the profile of a model; its context is left out where its files are not on this machine yet."""
    name = model or default_model()
    profile = ModelProfile(name=name, **_ABILITIES)
    folder = local_folder(name, revision=revision)
    config = {} if folder is None else optional_json(folder / "config.json")
    text = config.get("text_config") or config
    if isinstance(context := text.get("max_position_embeddings"), int):
        profile["max_input_tokens"] = context
        profile["max_output_tokens"] = context
    return profile
