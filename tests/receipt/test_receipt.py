"""Receipts: what they hold, the page, and running one again."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.chat_model.conftest import clip
from tests.cli.conftest import Command, command
from vreason_agent.cli.receipts import answered_receipt
from vreason_agent.errors import ConfigError
from vreason_agent.qa import VideoQuestion
from vreason_agent.receipt import compare_receipts, html_page, read_receipt
from vreason_agent.receipt.contents import cited_times, digest_of_file
from vreason_agent.video import ReadOptions

__all__ = ["clip", "command"]
EVIL = "Is </script><script>alert(1)</script> <b>red</b>?"


@pytest.fixture(scope="module")
def receipt(clip: Path) -> dict[str, Any]:
    """The receipt of the bundled model's answer, asked with two attempts at most."""
    from vreason_agent.chat_model import ChatVReason

    asked = VideoQuestion(video=str(clip), question=EVIL, options=["red", "blue"], num_frames=4, max_frames=4, seed=3)
    made = answered_receipt(ChatVReason(seed=3), asked, ReadOptions(), show=list)
    return json.loads(json.dumps(made, allow_nan=False))


def test_a_receipt_holds_what_an_answer_depends_on_and_every_trace(receipt: dict[str, Any], clip: Path) -> None:
    assert receipt["video"]["sha256"] == digest_of_file(clip)
    assert receipt["model"]["name"] == "tiny"
    assert len(receipt["model"]["weights_digest"]) == 12
    assert {"torch", "transformers", "python", "vreason-agent"} <= set(receipt["versions"])
    assert len(receipt["traces"]) == len(receipt["result"]["attempts"])
    for trace in receipt["traces"]:
        assert len(trace["token_texts"]) == len(trace["trace"]["token_ids"]) > 0
    assert [picture["seconds"] for picture in receipt["pictures"]] == receipt["result"]["frames"]


class Page(HTMLParser):
    """The tags of a page, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_stands_alone_and_runs_nothing_that_it_was_given(receipt: dict[str, Any], tmp_path: Path) -> None:
    text = html_page(receipt)
    page = Page()
    page.feed(text)
    assert all(source.startswith("data:image/") for source in page.loads)
    assert page.tags.count("img") >= len(receipt["pictures"])
    assert page.tags.count("script") == 1
    assert "b" not in page.tags
    assert "alert(1)" in text
    (tmp_path / "page.html").write_text(text)
    assert read_receipt(tmp_path / "page.html") == receipt


def test_a_page_without_matplotlib_names_the_command(receipt: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from vreason_agent.errors import DependencyError

    def missing(*_: Any, **__: Any) -> Any:
        raise DependencyError("plots need matplotlib; run: pip install 'vreason-agent[plots]'")

    monkeypatch.setattr("vreason_agent.receipt.page.plot_trace", missing)
    assert "pip install &#39;vreason-agent[plots]&#39;" in html_page(receipt)


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("0.0 -\n5.4 green 1 circle C on\n9.0 red cross NE", {5.4}),
        ("At 0.3 s a dog, at 0:05 a cat.", {0.3, 4.9}),
        ("There are 5 dogs and 4.9.", set()),
        ("12.55.4 x", set()),
        ("4.9 \u2013 ", set()),
    ],
)
def test_a_frame_is_cited_where_something_is_said_about_its_time(text: str, cited: set[float]) -> None:
    assert cited_times(text, [0.0, 0.3, 4.9, 5.4]) == cited


def test_receipts_of_one_run_are_the_same_and_differences_are_named(receipt: dict[str, Any]) -> None:
    assert compare_receipts(receipt, copy.deepcopy(receipt)) == []
    other = copy.deepcopy(receipt)
    other["video"]["sha256"] = "0"
    other["versions"]["torch"] = "9.9"
    other["traces"][0]["trace"]["token_ids"][2] += 1
    other["traces"][0]["token_texts"][2] = "other"
    other["result"]["answer"] = "another"
    found = compare_receipts(receipt, other)
    assert [difference.what for difference in found if not difference.is_outcome] == [
        "the video's content (sha256)",
        "version of torch",
    ]
    outcome = [str(difference) for difference in found if difference.is_outcome]
    assert re.fullmatch(r"attempt 1, token 3: '.*' before, 'other' now", outcome[0])
    assert outcome[1].startswith("answer:")


def test_replay_says_same_or_where_it_differs(command: Command, receipt: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "receipt.json"
    path.write_text(json.dumps(receipt))
    assert command("replay", str(path), "--quiet") == 0, command.out
    assert command.out.startswith("same:")
    receipt = copy.deepcopy(receipt)
    receipt["result"]["attempts"][0]["answer"] = "purple"
    path.write_text(json.dumps(receipt))
    assert command("replay", str(path), "--quiet", "--json") == 1
    assert any("attempt 1, answer: 'purple' before" in line for line in json.loads(command.out)["outcome"])


def test_a_file_that_is_no_receipt_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>hello</p>")
    with pytest.raises(ConfigError, match="make one with: vreason-agent ask --report"):
        read_receipt(tmp_path / "a.html")
    assert command("replay", str(tmp_path / "none.html")) == 1
    assert "give a receipt of ask --report" in command.err
