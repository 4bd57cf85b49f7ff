"""`vreason-agent doctor`: check the environment and a model, one line per check.

This module knows how to try things, and not how they work.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.parser import add_loading_options, check_revision
from vreason_agent.errors import DependencyError, VReasonError

if TYPE_CHECKING:
    from vreason_agent.decoding.config import Schedule
    from vreason_agent.model import ModelFamily, VideoLanguageModel

PACKAGES = ("torch", "transformers", "langchain-core", "langgraph", "numpy", "pydantic", "safetensors", "tokenizers")
ONE_OPENCV = "pip uninstall -y opencv-python && pip install --force-reinstall opencv-python-headless"
MARGIN = " " * 16
"""In front of further lines of a finding."""
PLANNED_FRAMES = (4, 32)
NUM_CLIP_FRAMES = 8
NUM_TOKENS = 24
QUESTION = "What color is the square?"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "doctor",
        help="check the environment and a model",
        description="Check Python, the libraries, video reading and a model, one line per check. Exit code 1 if a "
        "check fails.",
    )
    add_loading_options(parser)
    parser.add_argument(
        "--check", action="store_true", help="try on this model's own weights what V-Reason promises, one line each"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run every check; return 1 if one failed."""
    check_revision(arguments)
    checks: list[tuple[str, Callable[[], str]]] = [
        ("python", check_python),
        ("packages", check_packages),
        ("opencv", check_opencv),
        ("video", check_video),
        ("torch", check_torch),
        ("folder", lambda: describe_folder(arguments)),
    ]
    results = [_report(name, check) for name, check in checks]
    if results[-1]:
        results.append(_report("model", lambda: check_model(arguments)))
    if arguments.check and all(results):
        results.append(check_method(arguments))
    return 0 if all(results) else 1


def check_method(arguments: argparse.Namespace) -> bool:
    """Run the method's checks on the model, one line each; return whether all passed."""
    from vreason_agent.model import load_model
    from vreason_agent.model.check import check_model as check_promises

    # The model is the one that the check before loaded.
    loaded = load_model(arguments.model, device=arguments.device, dtype=arguments.dtype, revision=arguments.revision)
    passed = True
    for result in check_promises(loaded):
        print(f"{'ok  ' if result.passed else 'FAIL'}  {'method':9} {result.name}: {result.detail}", flush=True)
        passed = passed and result.passed
    return passed


def _report(name: str, check: Callable[[], str]) -> bool:
    try:
        finding = check()
    except (VReasonError, ImportError, OSError, RuntimeError) as error:
        print(f"FAIL  {name:9} {' '.join(str(error).split())}", flush=True)
        return False
    print(f"ok    {name:9} {finding}", flush=True)
    return True


def check_python() -> str:
    """Name the interpreter."""
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"


def check_packages() -> str:
    """Name the versions of what is installed, vreason-agent first."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in ("vreason-agent", *PACKAGES))


def check_opencv() -> str:
    """Load OpenCV and name its build."""
    from vreason_agent.video import load_cv2

    try:
        cv2 = load_cv2()
    except DependencyError as error:
        msg = f"{error.__cause__}; run: {ONE_OPENCV}"
        raise DependencyError(msg) from error
    wheels = [name for name in ("opencv-python", "opencv-python-headless") if _is_installed(name)]
    if len(wheels) == 2:
        msg = f"both {' and '.join(wheels)} are installed and overwrite each other; run: {ONE_OPENCV}"
        raise DependencyError(msg)
    return f"{cv2.__version__} ({', '.join(wheels) or 'not from a wheel'})"


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_video() -> str:
    """Write a short clip with OpenCV, read it back with the package's reader."""
    import numpy as np

    from vreason_agent.video import load_cv2, probe, read_frames

    cv2 = load_cv2()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "clip.avi")
        writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 8.0, (64, 48))
        for value in range(NUM_CLIP_FRAMES):
            writer.write(np.full((48, 64, 3), 30 * value, np.uint8))
        writer.release()
        info = probe(path)
        frames = read_frames(path, [0.5])
    return f"wrote {NUM_CLIP_FRAMES} frames, found {info.num_frames}, read one at {frames.timestamps_seconds[0]:g} s"


def check_torch() -> str:
    """Name the devices torch can use."""
    import torch

    devices = [f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    return f"{torch.__version__}; devices: {', '.join([*devices, f'cpu ({torch.get_num_threads()} threads)'])}"


def describe_folder(arguments: argparse.Namespace) -> str:
    """Say what a model's folder is, what would be loaded, the memory it needs and whether it can be steered."""
    from vreason_agent.model.folder import open_folder
    from vreason_agent.model.memory_plan import PictureSize, planner_of
    from vreason_agent.model.placement import available_bytes
    from vreason_agent.model.source import default_model, locate_model

    name = arguments.model or default_model()
    folder = open_folder(locate_model(name, revision=arguments.revision), source=name)
    planner = planner_of(name, revision=arguments.revision, device=arguments.device, dtype=arguments.dtype)
    stored = f"{folder.num_bytes / 1e9:.3g} GB of safetensors ({len(folder.weight_files)})"
    kind = f"quantized by {folder.quantization}" if folder.quantization else "not quantized"
    adapter = f", the adapter {folder.adapter} merged into {folder.path}" if folder.adapter else ""
    free = available_bytes(planner.device)
    plans = [(count, planner.plan([PictureSize(count, 720, 1280)], is_resized_early=True)) for count in PLANNED_FRAMES]
    return "\n".join(
        [
            f"family {folder.family.name}: {stored}, {kind}{adapter}",
            f"{MARGIN}time: {folder.family.time_route}",
            f"{MARGIN}loads {folder.family.architecture} as {str(planner.dtype).removeprefix('torch.')} on "
            f"{planner.device}: {folder.num_parameters / 1e6:.1f} million numbers, {planner.weights / 1e9:.3g} GB",
            *(f"{MARGIN}{count} frames of 1280 x 720 px need about {plan}" for count, plan in plans),
            f"{MARGIN}free there: {'unknown' if free is None else f'{free / 1e9:.3g} GB'}",
            f"{MARGIN}{find_refusal(folder.family, empty_model(planner.config, folder.family)) or 'can be steered'}",
        ]
    )


def empty_model(config: Any, family: ModelFamily) -> Any:
    """Build a model without memory for its weights."""
    import torch
    import transformers

    with torch.device("meta"):
        return getattr(transformers, family.architecture)._from_config(config)


def check_model(arguments: argparse.Namespace) -> str:
    """Load a model and let it write a few tokens about a made-up clip, without and with V-Reason."""
    from vreason_agent.model import describe_model, load_model

    began = time.perf_counter()
    loaded = load_model(arguments.model, device=arguments.device, dtype=arguments.dtype, revision=arguments.revision)
    load_seconds = time.perf_counter() - began
    facts = describe_model(loaded)
    refusal = find_refusal(loaded.family, loaded.hf_model)
    schedules: tuple[Schedule, ...] = ("off",) if refusal else ("off", "switching")
    speeds = [f"{schedule} {measure_speed(loaded, schedule):.0f}" for schedule in schedules]
    return (
        f"{facts['name']}: {facts['family']}, {facts['num_parameters'] / 1e6:.1f} million parameters, {facts['dtype']} "
        f"on {facts['device']}, {facts['attention']} attention, context of {facts['context_tokens']} tokens; "
        f"{format_picture_limits(facts)}; weights take {loaded.num_bytes / 1e9:.3g} GB; "
        f"{refusal or 'can be steered'}; loaded in {load_seconds:.1f} s; "
        f"tokens per second by schedule: {', '.join(speeds)}"
    )


def find_refusal(family: ModelFamily, hf_model: Any) -> str | None:
    """Return why a model cannot be steered; `None` where it can."""
    from vreason_agent.errors import GenerationError

    try:
        family.steering_point(hf_model)
    except GenerationError as error:
        return str(error)
    return None


def format_picture_limits(facts: Mapping[str, Any]) -> str:
    """Return what a frame and a whole video may cost, in words."""
    limits = facts["video"]
    each = (
        f"a video frame is scaled to {limits['min_px']} to {limits['max_px']} px, a pair of frames takes "
        f"{limits['min_tokens']} to {limits['max_tokens']} tokens"
    )
    if limits["max_total_px"] is None:
        return f"{each}, a video as many as the context holds"
    return f"{each}, a video at most {limits['max_total_px']} px or {limits['max_total_tokens']} tokens"


def measure_speed(model: VideoLanguageModel, schedule: Schedule) -> float:
    """Let a model write a few tokens about four gray frames and return its speed, prefill included."""
    import numpy as np

    from vreason_agent.decoding import VReasonConfig
    from vreason_agent.model import GenerationRequest, SamplingParams, TextPart, Turn, VideoPart

    images = np.full((4, 112, 112, 3), 127, np.uint8)
    turn = Turn("user", (VideoPart(images, (0.0, 0.5, 1.0, 1.5)), TextPart(QUESTION)))
    sampling = SamplingParams(max_new_tokens=NUM_TOKENS)
    began = time.perf_counter()
    [generation] = model.generate([GenerationRequest((turn,), sampling, VReasonConfig(schedule=schedule))])
    return len(generation.token_ids) / (time.perf_counter() - began)
