"""`ask` with a scripted chat model: what is printed where, what is refused when, and the exit codes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Command, Script
from vreason_agent.cli import ask, build_parser
from vreason_agent.cli.ask_model import check_context, make_chat_model
from vreason_agent.errors import GenerationError
from vreason_agent.video import DownloadPolicy, probe
from vreason_agent.video.pyav_decoder import PyAVDecoder

JSON_KEYS = [
    "answer",
    "choice",
    "best_guess",
    "confidence",
    "decision",
    "attempts",
    "frames",
    "video",
    "model",
    "usage",
    "loading_seconds",
    "seconds",
    "warnings",
    "error",
]


def test_an_answer_that_holds_is_printed_with_its_confidence_frames_attempts_and_cost(
    command: Command, clip: str, script: Script
) -> None:
    script(("red", 0.8, "A"), ("red", 0.9, "A"))
    assert command("ask", clip, "What color?", "--option", "red", "--option", "blue") == 0
    assert command.out.startswith("Answer: red (option A)\n")
    for part in (
        "Confidence",
        "1. 4 frames: 'red'",
        "2. 8 frames: 'red'",
        "asked again with more frames",
    ):
        assert part in command.out
    assert "accepted" in command.out
    assert len(command.out.splitlines()) + len(command.err.splitlines()) <= 25
    for part in ("entropy_drop 0.9", "Frames (8)"):
        assert part not in command.out


def test_verbose_adds_the_reasoning_the_raw_signals_and_the_frames(command: Command, clip: str, script: Script) -> None:
    script(("red square", 0.8, None), ("red square", 0.9, None))
    command("ask", clip, "What is it?", "--verbose")
    assert "attempt 1: 4 frames at 0.00" in command.err
    assert "0.0 red square" in command.err  # the reasoning
    for part in ("entropy_drop 0.9", "Frames (8)"):
        assert part in command.out


def test_no_percentage_is_printed_without_a_calibrator(command: Command, clip: str, script: Script) -> None:
    script(("red", 0.8, None), ("red", 0.9, None))
    command("ask", clip, "What color?")
    assert "No calibrator" in command.out
    without_the_drop = re.sub(r"(?:by |a drop of |needed: )[\d.]+ ?%", "", command.out)  # of entropy, in reasons
    assert "%" not in without_the_drop
    script(("red", 0.8, None), ("red", 0.9, None))
    command("ask", clip, "What color?", "--json")
    assert json.loads(command.out)["confidence"]["probability"] is None


def test_progress_goes_to_stderr_with_one_line_per_attempt(command: Command, clip: str, script: Script) -> None:
    script(("red square", 0.8, None), ("red square", 0.9, None))
    command("ask", clip, "What is it?")
    lines = command.err.splitlines()
    assert lines[0].startswith(f"video: {clip}: video, 64x48 px, 2.00 s")
    first, second = lines[-2:]
    assert re.fullmatch(r"attempt 1: 4 frames \.\.\. 'red square'(, entropy .*)?; asked again with more frames", first)
    assert re.fullmatch(r"attempt 2: 8 frames \.\.\. 'red square'(, entropy .*)?; accepted", second)


def test_json_is_one_documented_object_alone_on_stdout(command: Command, clip: str, script: Script) -> None:
    script(("red", 0.1, "A"), ("red", 0.9, "A"))
    assert command("ask", clip, "What color?", "--option", "red", "--option", "blue", "--json") == 0
    assert command.out.count("\n") == 1
    report = json.loads(command.out)
    assert list(report) == JSON_KEYS
    assert (report["answer"], report["choice"], report["warnings"]) == ("red", "A", [])
    assert report["best_guess"] == {"answer": "red", "choice": "A", "attempt": 1}
    assert report["decision"]["action"] == "accept"
    assert report["confidence"]["probability"] is None
    assert [attempt["num_frames"] for attempt in report["attempts"]] == [4, 8]
    assert [attempt["decision"]["action"] for attempt in report["attempts"]] == ["more_frames", "accept"]
    assert len(report["frames"]) == 8
    spent = {"attempts": 2, "frames_seen": 8, "frames_shown": 12, "input_tokens": 200, "output_tokens": 40}
    assert report["usage"] == {**spent, "vision_tokens": None}
    assert report["model"]["name"] == "scripted"
    assert "attempt 1" in command.err


def test_json_keys_are_those_that_help_documents(command: Command) -> None:
    assert command("ask", "--help") == 0
    assert ", ".join(JSON_KEYS) in " ".join(command.out.split())


def test_quiet_leaves_stderr_empty(command: Command, clip: str, script: Script) -> None:
    script(("red", 0.8, None), ("red", 0.9, None), bundled=True)
    command("ask", clip, "What color?", "--quiet")
    assert command.err == ""


@pytest.mark.parametrize("bundled", [True, False])
def test_the_bundled_model_is_said_to_know_its_toy_world_only(
    command: Command, clip: str, script: Script, bundled: bool
) -> None:
    script(("red", 0.8, None), ("red", 0.9, None), bundled=bundled)
    command("ask", clip, "What color?", "--json")
    assert ("colored shapes" in command.err) == bundled
    assert ("--model Qwen/" in command.err) == bundled


def test_an_abstention_exits_with_3_and_marks_the_best_guess(command: Command, clip: str, script: Script) -> None:
    script(("red", 0.1, None), ("blue", 0.1, None), ("blue", 0.1, None))
    assert command("ask", clip, "What color?", "--frames", "4", "--max-frames", "8") == 3
    assert command.out.startswith("No answer: the model abstained. Best guess: blue\n")


def test_an_abstention_in_json_keeps_the_guess_apart_from_the_answer(
    command: Command, clip: str, script: Script
) -> None:
    script(("red", 0.1, None), ("blue", 0.1, None), ("blue", 0.1, None))
    assert command("ask", clip, "What color?", "--max-frames", "8", "--json") == 3
    report = json.loads(command.out)
    assert report["answer"] is None
    assert report["best_guess"]["answer"] == "blue"


def test_an_abstention_without_any_answer_says_so(command: Command, clip: str, script: Script) -> None:
    script((None, None, None), (None, None, None), (None, None, None))
    assert command("ask", clip, "What color?", "--max-frames", "8") == 3
    assert command.out.startswith("No answer: the model abstained, and no answer could be read from any attempt.")


def test_the_range_reaches_the_graph(command: Command, clip: str, script: Script) -> None:
    script(("red", 0.8, None), ("red", 0.9, None))
    command("ask", clip, "What color?", "--start", "0.5", "--stop", "1.5", "--json")
    frames = json.loads(command.out)["frames"]
    assert min(frames) >= 0.5
    assert max(frames) < 1.5


def test_the_frame_policy_reaches_the_graph_and_its_reason_is_told(command: Command, clip: str, script: Script) -> None:
    script(("red at 1.5 s", 0.1, None), ("red", 0.9, None), ("red", 0.9, None))
    command("ask", clip, "What color?", "--frame-policy", "zoom", "--json")
    sampled = [attempt["sampling"] for attempt in json.loads(command.out)["attempts"]]
    assert [sampling["rule"] for sampling in sampled] == ["pairs", "zoom", "zoom"]
    assert "(zoom: the answer names 1.5 s)" in command.err


WRONG_ARGUMENTS = {
    "an unknown frame policy": (["ask", "no.mp4", "What?", "--frame-policy", "x"], "choose from"),
    "no command": ([], "the following arguments are required: COMMAND; run: vreason-agent --help"),
    "an unknown command": (["answer"], "invalid choice: 'answer'"),
    "no question": (["ask", "no.mp4"], "required: QUESTION; run: vreason-agent ask --help"),
    "an empty question": (["ask", "no.mp4", " "], "argument QUESTION: ' ' is empty; give some text"),
    "an empty video name": (["ask", "", "What?"], "argument VIDEO: '' is empty"),
    "zero frames": (
        ["ask", "no.mp4", "What?", "--frames", "0"],
        "'0' must be an even number of at least 2, because the model",
    ),
    "odd frames": (["ask", "no.mp4", "What?", "--frames", "5"], "try 6"),
    "frames above the most": (
        ["ask", "no.mp4", "What?", "--frames", "16", "--max-frames", "8"],
        "--frames 16 is more than --max-frames 8",
    ),
    "a ladder with no doubling": (
        ["ask", "no.mp4", "What?", "--frames", "4", "--max-frames", "12"],
        "--max-frames 12 is not --frames 4 times a power of two; use --max-frames 8 or 16",
    ),
    "one option": (["ask", "no.mp4", "What?", "--option", "red"], "give at least two, or none"),
    "an option twice": (
        ["ask", "no.mp4", "What?", "--option", "red", "--option", "red"],
        "'red' is given more than once; give each option once",
    ),
    "an option twice but for case and space": (
        ["ask", "no.mp4", "What?", "--option", "Red", "--option", "red "],
        "'red ' is given more than once; give each option once",
    ),
    "a question that is not UTF-8": (["ask", "no.mp4", "What\udcff?"], "QUESTION: 'What\\udcff?' is not valid UTF-8"),
    "an option that is not UTF-8": (
        ["ask", "no.mp4", "What?", "--option", "\udcff"],
        "valid UTF-8; write it in UTF-8",
    ),
    "an empty option": (["ask", "no.mp4", "What?", "--option", ""], "--option: '' is empty"),
    "a range without length": (
        ["ask", "no.mp4", "What?", "--start", "3", "--stop", "3"],
        "--stop 3 is not after --start 3; give a later --stop",
    ),
    "a stop at the beginning": (["ask", "no.mp4", "What?", "--stop", "0"], "give a later --stop"),
    "a negative start": (["ask", "no.mp4", "What?", "--start=-1"], "--start: '-1' is not a time in seconds"),
    "an unknown schedule": (["ask", "no.mp4", "What?", "--schedule", "up"], "choose from"),
    "an unknown device": (["ask", "no.mp4", "What?", "--device", "gpu"], "--device: 'gpu' is not a device"),
    "a negative seed": (["ask", "no.mp4", "What?", "--seed=-1"], "--seed: '-1' is not a whole number"),
    "a revision of the bundled model": (
        ["ask", "no.mp4", "What?", "--model", "tiny", "--revision", "x"],
        "--revision 'x' needs a Hub id, and the bundled model is used; leave --revision out",
    ),
    "a revision of the default model": (["ask", "no.mp4", "What?", "--revision", "x"], "leave --revision out"),
    "a model to check with a revision it has not": (["doctor", "--revision", "x"], "leave --revision out"),
    "an abbreviated option": (
        ["ask", "no.mp4", "What?", "--max", "8"],
        "unrecognized arguments: '--max' '8'; run: vreason-agent ask --help",
    ),
    "a seed that no generator takes": (["ask", "no.mp4", "What?", "--seed", "9" * 20], "to 9223372036854775807"),
    "a URL without leave": (
        ["ask", "https://a.b/c.mp4?d", "What?"],
        "c.mp4' is a URL; add --allow-download to download it",
    ),
}


def test_wrong_arguments_are_one_line_and_exit_code_2_before_any_file_is_opened(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VREASON_MODEL", raising=False)
    for name, (arguments, message) in WRONG_ARGUMENTS.items():
        assert command(*arguments) == 2, name
        assert command.err.startswith("vreason-agent: error: "), name
        assert command.err.count("\n") == 1, name
        assert message in command.err, name
        assert command.out == "", name


def test_a_start_after_the_end_names_the_length(command: Command, clip: str) -> None:
    assert command("ask", clip, "What?", "--start", "5", "--quiet") == 1
    assert "start 5 s is not before the end of" in command.err
    assert "at 2.00 s; give an earlier start" in command.err


def test_a_failed_generation_is_one_line_and_exit_code_1(
    command: Command, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: Any) -> None:
        msg = "the prompt does not fit;\nuse fewer frames: --max-frames 8"
        raise GenerationError(msg)

    monkeypatch.setattr(ask, "make_chat_model", fail)
    assert command("ask", clip, "What?", "--quiet") == 1
    assert command.err == "vreason-agent: error: the prompt does not fit; use fewer frames: --max-frames 8\n"


def test_a_retry_draws_from_the_seed_that_follows_the_given_one(command: Command, clip: str, script: Script) -> None:
    chat_model = script(("red", 0.1, None), ("blue", 0.1, None))
    command("ask", clip, "What color?", "--frames", "4", "--max-frames", "4", "--seed", "7")
    assert [arguments.get("seed") for _, arguments in chat_model.requests] == [None, 8]


def test_control_characters_in_an_answer_do_not_reach_the_terminal(command: Command, clip: str, script: Script) -> None:
    script(("red\x1b[2J", 0.8, None), ("red\x1b[2J", 0.9, None))
    command("ask", clip, "What color?")
    assert "\x1b" not in command.out + command.err


def test_isolate_reaches_the_chat_model_and_nothing_is_decoded_here(
    command: Command, clip: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = build_parser().parse_args(["ask", clip, "What?", "--isolate"])
    assert make_chat_model(arguments).read_options.isolation is not None  # type: ignore[attr-defined]
    script(("red", 0.8, None), ("red", 0.9, None))
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("decoded here"))
    assert command("ask", clip, "What color?", "--isolate") == 0


def test_a_url_is_fetched_only_where_that_is_allowed_read_isolated_and_removed(
    command: Command, clip: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def download(url: str, folder: str, *, policy: DownloadPolicy) -> Path:
        assert (url, policy) == ("https://example.com/clip.avi?token=secret", DownloadPolicy())
        opened.append(Path(shutil.copy(clip, folder)))
        return opened[0]

    assert command("ask", "https://example.com/clip.avi", "What color?") == 2
    monkeypatch.setattr(sys.modules["vreason_agent.video.download"], "download", download)
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("decoded here"))
    script(("red", 0.8, None), ("red", 0.9, None))
    assert command("ask", "https://example.com/clip.avi?token=secret", "What color?", "--allow-download") == 0
    assert "downloading https://example.com/clip.avi\n" in command.err
    assert "secret" not in command.err
    assert not opened[0].parent.exists()


def test_backend_reaches_the_chat_model_and_pyav_opens_nothing(
    command: Command, clip: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = build_parser().parse_args(["ask", clip, "What?", "--backend", "opencv"])
    assert make_chat_model(arguments).read_options.backend == "opencv"  # type: ignore[attr-defined]
    script(("red", 0.8, None), ("red", 0.9, None))
    monkeypatch.setattr(PyAVDecoder, "__init__", lambda *_: pytest.fail("PyAV was opened"))
    assert command("ask", clip, "What color?", "--backend", "opencv") == 0
    assert command("probe", clip, "--backend", "opencv", "--isolate", "--json") == 0
    assert json.loads(command.out)["backend"] == "opencv"


class FiftyTokensPerFrame:
    """An engine as far as counting goes."""

    context_length = 1000

    def count_tokens(self, turns: Any) -> int:
        *videos, _question = turns[0].parts
        return 20 + sum(50 * len(video.images) for video in videos)


@pytest.mark.parametrize(
    ("rungs", "context_length", "message"),
    [
        ((4, 32), 700, r"16 frames take 820 tokens with the question, .* holds 700; use --max-frames 8$"),
        (
            (32, 32),
            1620,
            r"32 frames take 1620 tokens with the question, .* holds 1620; use --frames 30 --max-frames 30, or",
        ),
        (
            (2, 2),
            120,
            r"2 frames take 120 tokens with the question, .* holds 120; shorten the question, or",
        ),
        (
            (4, 32),
            20,
            r"question with its options takes 20 tokens without any frame, .*; shorten it, or use a",
        ),
    ],
)
def test_more_frames_than_the_context_holds_are_told_before_the_first_look(
    clip: str, rungs: tuple[int, int], context_length: int, message: str
) -> None:
    engine = FiftyTokensPerFrame()
    engine.context_length = context_length
    arguments = build_parser().parse_args(["ask", clip, "What?"])
    with pytest.raises(GenerationError, match=message):
        check_context(SimpleNamespace(engine=engine), arguments, probe(clip), rungs)


def test_frames_that_the_clip_does_not_have_are_not_held_against_the_context(clip: str) -> None:
    arguments = build_parser().parse_args(["ask", clip, "What?"])  # the clip has 16 frames: 820 tokens
    check_context(SimpleNamespace(engine=FiftyTokensPerFrame()), arguments, probe(clip), (4, 1024))


def test_frames_of_different_sizes_are_told_before_the_model_is_made(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "make_chat_model", lambda arguments: pytest.fail("a model was made"))
    for number in range(40):
        size = (48, 64, 3) if number != 33 else (32, 32, 3)
        cv2.imwrite(str(tmp_path / f"{number:02}.png"), np.zeros(size, np.uint8))
    assert command("ask", tmp_path, "What?") == 1
    assert "(00.png 64x48, 33.png 32x32); bring them to one size" in command.err
    assert command.err.count("\n") == 1


BAD_FILES = ("empty.mp4", "text.mp4", "truncated.avi", "cut.avi", "no frames", "audio.mp4", "missing.mp4")


def bad_files(folder: Path, clip: str) -> dict[str, str]:
    """Make one file or folder of each kind that cannot be asked about."""
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    content = Path(clip).read_bytes()
    (folder / "truncated.avi").write_bytes(content[:300])
    (folder / "cut.avi").write_bytes(content[: len(content) // 2])
    (folder / "no frames").mkdir()
    (folder / "no frames" / "notes.txt").write_text("nothing")
    wave = b"RIFF" + (36 + 8000).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    wave += b"\1\0\1\0" + (8000).to_bytes(4, "little") + (8000).to_bytes(4, "little") + b"\1\0\x08\0"
    (folder / "audio.mp4").write_bytes(wave + b"data" + (8000).to_bytes(4, "little") + bytes(8000))
    return {name: str(folder / name) for name in BAD_FILES}


def test_bad_files_are_told_in_a_line_each_before_torch_is_imported(clip: str, tmp_path: Path) -> None:
    paths = bad_files(tmp_path, clip)
    code = f"""
        import sys
        from vreason_agent.cli import main
        codes = [main(["ask", path, "What?"]) for path in {list(paths.values())!r}]
        heavy = [name for name in ("torch", "transformers", "langgraph", "langchain_core") if name in sys.modules]
        print(codes, heavy)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True)
    assert result.stdout.decode().strip() == f"{[1] * len(paths)} []"
    lines = result.stderr.decode().splitlines()
    assert len(lines) == len(paths), lines
    for line, name in zip(lines, paths, strict=True):
        assert line.startswith("vreason-agent: error: ")
        assert name in line


def test_schedules_are_those_of_the_decoding_config() -> None:
    from typing import get_args

    from vreason_agent.cli.parser import SCHEDULES
    from vreason_agent.decoding.config import Schedule

    assert get_args(Schedule) == SCHEDULES
