"""Running out of memory while loading or answering: a typed error with its numbers, and a model that goes on."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.model.conftest import ask
from vreason_agent.errors import GenerationError, ModelLoadError
from vreason_agent.model import VideoLanguageModel
from vreason_agent.model.loading import build_model
from vreason_agent.model.placement import is_out_of_memory, memory_remedy, out_of_memory_as

pytestmark = pytest.mark.filterwarnings("ignore::vreason_agent.model.engine.VideoTimeWarning")
TOO_MANY = 1 << 60


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


FAILURES: dict[str, Callable[..., Any]] = {
    "torch on the CPU": lambda *_, **__: torch.empty(TOO_MANY, dtype=torch.uint8),
    "numpy": lambda *_, **__: np.empty(TOO_MANY, dtype=np.uint8),
    "torch on CUDA": raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has")),
    "torch on MPS": raising(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)")),
    "torch on Windows": raising(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")),
    "cuBLAS": raising(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")),
    "mapping a file": raising(OSError(errno.ENOMEM, "Cannot allocate memory")),
    "Python": raising(MemoryError()),
}


def test_weights_that_exceed_the_memory_are_a_load_error_with_their_size(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = transformers.Qwen2_5_VLForConditionalGeneration
    expected = (
        r"GB of weights as float32: out of memory on cpu, which has [\d.]+ GB free now .*"
        r"pass --dtype bfloat16 to halve it, or choose a smaller model, for example --model Qwen/Qwen2\.5-VL-3B-Instr"
    )
    for failure in FAILURES.values():
        monkeypatch.setattr(kind, "from_pretrained", failure)
        with pytest.raises(ModelLoadError, match=expected):
            build_model(folders["qwen2_5_vl"], name="big", device="cpu")


def test_weights_that_do_not_fit_on_the_device_are_a_load_error(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = transformers.Qwen2_5_VLForConditionalGeneration
    monkeypatch.setattr(kind, "to", FAILURES["torch on CUDA"])
    with pytest.raises(ModelLoadError, match=r"CUDA out of memory\. Tried .* choose a smaller model, for example"):
        build_model(folders["qwen2_5_vl"], name="big", device="cpu")


def test_an_answer_that_exceeds_the_memory_is_a_generation_error_and_the_model_goes_on(
    models: dict[str, VideoLanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models["qwen2_5_vl"]
    request = ask()
    [expected] = model.generate([request])
    expected_message = (
        rf"prompt of {expected.prompt_tokens} tokens with 4 frames, beside [\d.]+ GB of weights as float32: "
        r"out of memory on cpu, which has [\d.]+ GB free now .*Use fewer frames \(--max-frames\).*"
        r"pass --dtype bfloat16 to halve it, or choose a smaller model, for example --model Qwen"
    )
    for failure in FAILURES.values():
        with monkeypatch.context() as patch:
            patch.setattr("vreason_agent.model.engine.decode", failure)
            with pytest.raises(GenerationError, match=expected_message):
                model.generate([request])
        assert not model.lock.locked()
    assert model.generate([request])[0].token_ids == expected.token_ids


def test_memory_that_runs_out_in_the_vision_tower_is_a_generation_error(
    models: dict[str, VideoLanguageModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models["qwen2_5_vl"]
    monkeypatch.setattr("vreason_agent.model.engine.read_vision", FAILURES["torch on CUDA"])
    with pytest.raises(GenerationError, match=r"in a batch of 2 with 8 frames.*smaller batches"):
        model.generate([ask(), ask("Why?")])
    assert model.reuse.num_bytes == 0


def test_other_errors_are_not_taken_for_memory() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes differ"),
        out_of_memory_as(GenerationError, "w", torch.device("cpu"), remedy="r"),
    ):
        raise RuntimeError("shapes differ")
    assert not is_out_of_memory(OSError(errno.ENOENT, "no such file"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_graphics_card_that_is_too_small_is_told_the_cpu_and_free_memory_may_be_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "pass --device cpu, or choose" in memory_remedy(torch.device("cuda"), torch.bfloat16)
    assert "--device" not in memory_remedy(torch.device("cpu"), torch.bfloat16)
    monkeypatch.setattr("vreason_agent.model.placement.available_bytes", lambda device: None)
    with (
        pytest.raises(GenerationError, match=r"^w: out of memory on cuda \(MemoryError\)\. r$"),
        out_of_memory_as(GenerationError, "w", torch.device("cuda"), remedy="r"),
    ):
        raise MemoryError
