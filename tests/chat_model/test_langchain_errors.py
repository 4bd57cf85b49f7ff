from __future__ import annotations

import pytest
from langchain_core.exceptions import ModelError, ModelInvalidRequestError, ModelNotFoundError

from vreason_agent import errors
from vreason_agent.chat.langchain_errors import GenerationTimeoutError, as_langchain_errors, mixed_class

OURS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.VReasonError)]


@pytest.mark.parametrize("kind", OURS)
def test_every_error_of_the_tree_becomes_both_and_keeps_its_message(kind: type[errors.VReasonError]) -> None:
    with pytest.raises(kind, match=r"^what to do$") as caught, as_langchain_errors():
        raise kind("what to do")
    assert isinstance(caught.value, ModelError)
    assert caught.value.__cause__.__class__ is kind
    assert mixed_class(kind) is mixed_class(kind)


def test_the_partner_has_the_same_meaning() -> None:
    assert issubclass(mixed_class(errors.ConfigError), ModelInvalidRequestError)
    assert issubclass(mixed_class(errors.VideoDecodeError), ModelInvalidRequestError)
    assert issubclass(mixed_class(errors.ModelLoadError), ModelNotFoundError)


def test_an_error_that_is_both_already_passes_through() -> None:
    error = GenerationTimeoutError("late")
    with pytest.raises(GenerationTimeoutError) as caught, as_langchain_errors():
        raise error
    assert caught.value is error


def test_other_peoples_errors_pass_through() -> None:
    with pytest.raises(KeyError), as_langchain_errors():
        raise KeyError("x")
