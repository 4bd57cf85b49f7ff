"""The lmms-eval plugin: its conversions with stand-ins for lmms-eval's classes, and one task where it is installed."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from PIL import Image

from vreason_agent.errors import ConfigError, VideoNotFoundError
from vreason_agent.evaluation.world_dataset import ensure_clips

TASK = """
task: shapes
dataset_path: json
dataset_kwargs: {data_files: {test: rows.json}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: !function utils.doc_to_text
doc_to_messages: !function utils.doc_to_messages
doc_to_target: answer
generation_kwargs: {max_new_tokens: 200, until: ["\\n\\n"]}
process_results: !function utils.process_results
metric_list: [{metric: right, aggregation: mean, higher_is_better: true}]
"""
UTILS = """
def doc_to_visual(doc):
    return [doc["video"]]

def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["text"]

def doc_to_messages(doc, lmms_eval_specific_kwargs=None):
    content = [{"type": "video", "url": doc["video"]}, {"type": "text", "text": doc["text"]}]
    return [{"role": "user", "content": content}]

def process_results(doc, results):
    return {"right": float(doc["answer"] in results[0])}
"""


@dataclass
class Counts:
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the plugin over stand-ins with the fields of lmms-eval 0.7.3."""
    parts: dict[str, dict[str, Any]] = {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.api.instance": {"GenerationResult": SimpleNamespace, "TokenCounts": Counts},
        "lmms_eval.api.model": {"lmms": type("lmms", (), {"__init__": lambda self: None})},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": lambda name, **paths: (name, paths)},
    }
    for name, fields in parts.items():
        module = ModuleType(name)
        vars(module).update(fields)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "vreason_agent.lmms_eval_plugin", raising=False)
    yield importlib.import_module("vreason_agent.lmms_eval_plugin")
    sys.modules.pop("vreason_agent.lmms_eval_plugin", None)


def test_messages_become_blocks_that_chat_models_read(plugin):
    picture = Image.fromarray(np.zeros((4, 6, 3), np.uint8))
    video = {"type": "video", "url": "clip.mp4", "start_time": 1, "end_time": None}
    given = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [video, {"type": "image", "url": picture}, {"type": "text", "text": "What?"}]},
    ]
    system, user = plugin.read_messages(given)
    assert isinstance(system, SystemMessage)
    assert isinstance(user, HumanMessage)
    content: Any = user.content
    clip, image, text = content
    assert clip == {"type": "video", "url": "clip.mp4", "extras": {"start_seconds": 1.0}}
    assert (image["type"], image["mime_type"]) == ("image", "image/png")
    assert text == {"type": "text", "text": "What?"}
    with pytest.raises(ConfigError, match="choose a task of text, images and videos"):
        list(plugin.read_messages([{"role": "user", "content": [{"type": "audio", "url": "x"}]}]))


def test_a_task_samples_only_where_it_says_so_and_its_stop_ends_the_answer(plugin):
    assert plugin.call_options({"max_new_tokens": 16, "temperature": 0, "until": ["\n\n"]}) == {
        "temperature": 0.0,
        "max_tokens": 16,
    }
    assert plugin.call_options({"temperature": 0.7, "do_sample": False}) == {"temperature": 0.0}
    assert plugin.call_options({"temperature": 0.7, "top_p": 0.9}) == {"temperature": 0.7, "top_p": 0.9}
    assert plugin.answer_text("B\n\nbecause", ["\n\n", "."]) == "B"
    assert plugin.answer_text("B", None) == "B"


def test_answers_tokens_and_the_side_file_follow_the_requests(plugin, tmp_path):
    model = plugin.VReasonLmms(batch_size="2", max_new_tokens="300", side_file=str(tmp_path / "side.jsonl"))
    calls = []

    def batch(messages, **options):
        calls.append(([one[0].content for one in messages], options))
        usage = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14, "output_token_details": {"reasoning": 3}}
        metadata = {"confidence": {"signals": {"entropy_drop": 0.5}}}
        reply = AIMessage("red\n\nso", usage_metadata=usage, response_metadata=metadata)
        return [VideoNotFoundError("gone") if "gone" in str(one[0].content) else reply for one in messages]

    model.chat_model = SimpleNamespace(batch=batch)
    model.task_dict = {"shapes": {"test": {0: "first", 1: "gone", 2: "third"}}}
    greedy, sampled = {"until": ["\n\n"], "max_new_tokens": 4}, {"temperature": 1.0}
    settings = (greedy, sampled, greedy)
    requests = [
        SimpleNamespace(args=("", lambda doc: [{"role": "user", "content": doc}], given, index, "shapes", "test"))
        for index, given in enumerate(settings)
    ]
    results = model.generate_until(requests)
    assert [result.text for result in results] == ["red", "", "red"]
    assert results[0].token_counts == Counts(9, 5, 3)
    assert [len(messages) for messages, _ in calls] == [2, 1]
    assert [options["temperature"] for _, options in calls] == [0.0, 1.0]
    assert all(options["max_tokens"] == 300 for _, options in calls)
    rows = {row["doc_id"]: row for row in map(json.loads, (tmp_path / "side.jsonl").read_text().splitlines())}
    assert rows[0]["confidence"]["signals"]["entropy_drop"] == 0.5
    assert rows[1]["error"] == "VideoNotFoundError: gone"


def test_unknown_arguments_and_other_outputs_are_refused(plugin):
    with pytest.raises(ConfigError, match="model_args frames are not known; use pretrained, num_frames"):
        plugin.VReasonLmms(frames=4)
    with pytest.raises(NotImplementedError, match="choose a task of output_type generate_until"):
        plugin.VReasonLmms().loglikelihood([])
    name, paths = plugin.manifest()
    assert name == "vreason_agent"
    assert paths == {"chat_class_path": "vreason_agent.lmms_eval_plugin.VReasonLmms"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_current_release_of_lmms_eval_runs_a_task_on_the_bundled_model(tmp_path):
    pytest.importorskip("lmms_eval", reason="the extra `lmms-eval` is not installed (an environment of its own)")
    questions = [one for one in ensure_clips(tmp_path / "clips", "dev", 9) if one.options]
    rows = [
        {"video": one.video, "text": f"{one.question}\nOptions: {' / '.join(one.options)}", "answer": one.answer}
        for one in questions
    ]
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "utils.py").write_text(UTILS)
    (folder / "shapes.yaml").write_text(TASK.replace("rows.json", str(folder / "rows.json")))
    command = [sys.executable, "-m", "lmms_eval", "--model", "vreason_agent", "--tasks", "shapes"]
    command += ["--model_args", f"pretrained=tiny,num_frames=16,device=cpu,side_file={tmp_path / 'side.jsonl'}"]
    command += ["--include_path", str(folder), "--batch_size", "4", "--output_path", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    found = sorted((tmp_path / "out").rglob("*results.json"))
    assert len(found) == 1, done.stdout + done.stderr  # it exits with 0 whatever happened
    right = next(
        value for name, value in json.loads(found[0].read_text())["results"]["shapes"].items() if "right" in name
    )
    assert right >= 0.5
    side = [json.loads(line) for line in (tmp_path / "side.jsonl").read_text().splitlines()]
    assert len(side) == len(rows)
    assert all(row["confidence"]["signals"]["final_entropy"] is not None for row in side)
