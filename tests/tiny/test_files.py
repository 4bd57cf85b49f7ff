"""Claims about the files of the toy world."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vreason_agent.errors import ConfigError
from vreason_agent.tiny import render, world
from vreason_agent.tiny.render import CANVAS_PX, CODECS, decode_all, draw_frame, recode, write_clip
from vreason_agent.tiny.scene import COLORS, Scene
from vreason_agent.tiny.world import make_clip

ENDINGS = [(ending, codec) for ending, codecs in CODECS.items() for codec in codecs]


@pytest.mark.parametrize(("ending", "codec"), ENDINGS)
def test_every_codec_gives_back_all_frames_at_their_rate(tmp_path: Path, ending: str, codec: str) -> None:
    cv2 = pytest.importorskip("cv2")
    clip = make_clip(3, "demo")
    path = tmp_path / f"clip{ending}"
    write_clip(path, clip, codec=codec)
    frames = decode_all(path)
    assert len(frames) == clip.scene.num_frames
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(clip.scene.video_fps, rel=1e-3)
    capture.release()
    drawn = draw_frame(clip.scene, 40)
    assert np.abs(frames[40].astype(float) - drawn).mean() < 12


def test_the_facts_stand_beside_the_clip(tmp_path: Path) -> None:
    clip = make_clip(5, "demo")
    facts = json.loads(write_clip(tmp_path / "clip.mp4", clip).read_text())
    question = clip.questions[0]
    assert facts["questions"][0]["question"] == question.question
    assert facts["questions"][0]["answer"] == question.answer
    assert facts["questions"][0]["kind"] == question.kind
    assert facts["questions"][0]["event_seconds"]
    assert facts["duration_seconds"] == clip.scene.duration_seconds
    assert facts["signature"] == clip.signature


def test_an_interrupted_clip_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(scene: Scene, frame_index: int) -> np.ndarray:
        if frame_index == 5:
            raise KeyboardInterrupt
        return draw_frame(scene, frame_index)

    monkeypatch.setattr(render, "draw_frame", stop)
    with pytest.raises(KeyboardInterrupt):
        write_clip(tmp_path / "clip.mp4", make_clip(0))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_ending_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"such as demo\.mp4"):
        write_clip(tmp_path / "clip.gif", make_clip(0))


def test_recoded_frames_keep_number_and_order() -> None:
    scene = make_clip(6, "demo").scene
    drawn = [draw_frame(scene, i) for i in range(0, 48, 4)]
    back = recode(drawn, "/dev/shm/test_recode.avi" if Path("/dev/shm").exists() else "test_recode.avi", codec="MJPG")
    assert len(back) == len(drawn)
    assert all(np.abs(a.astype(float) - b).mean() < 12 for a, b in zip(back, drawn, strict=True))


def test_objects_are_drawn_in_their_color_where_their_center_lies() -> None:
    for seed in range(30):
        scene = make_clip(seed, "demo").scene
        for sprite in scene.sprites:
            segment = sprite.segments[0]
            index = int(np.ceil(segment.start * scene.num_frames / 32))
            x, y = segment.position(scene.slot_of_frame(index))
            pixel = draw_frame(scene, index)[int(y * CANVAS_PX / 3), int(x * CANVAS_PX / 3)]
            assert np.abs(pixel.astype(int) - COLORS[segment.color]).max() < 10


def test_the_generator_runs_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "clip.avi"
    assert world.main([str(out), "--seed", "4"]) == 0
    assert out.exists()
    assert out.with_suffix(".json").exists()
    assert make_clip(4).questions[0].question in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["clip.mp4", "--seed", "-1"], "seed"), (["clip.xyz"], "choose an ending among .mp4")],
)
def test_the_command_of_the_world_tells_a_mistake_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        world.main([str(tmp_path / arguments[0]), *arguments[1:]])
    assert told in capsys.readouterr().err.splitlines()[-1]
