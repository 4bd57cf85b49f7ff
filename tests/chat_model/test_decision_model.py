"""Claims about LangChain's decision models on the same engine: a probability for every alternative."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

decisions = pytest.importorskip("langchain_core.decisions", reason="decision models are new in langchain-core 1.8")

from vreason_agent import decision_model as module  # noqa: E402
from vreason_agent.chat_model import ChatVReason  # noqa: E402
from vreason_agent.decision_model import VReasonDecisionModel  # noqa: E402
from vreason_agent.errors import ConfigError, DependencyError, GenerationError  # noqa: E402
from vreason_agent.messages import video_question  # noqa: E402
from vreason_agent.model import VideoLanguageModel, unload  # noqa: E402
from vreason_agent.model.scripted import load_scripted  # noqa: E402
from vreason_agent.model.source import bundled_folder  # noqa: E402
from vreason_agent.tiny.render import write_clip  # noqa: E402
from vreason_agent.tiny.world import make_clip  # noqa: E402

pytestmark = pytest.mark.skipif(
    not (bundled_folder() / "model.safetensors").exists(), reason="the bundled weights are not here"
)
COLOR = decisions.Choice(instructions="Which color?", criteria={"red": "like blood", "blue": None})
URGENT = decisions.Noul(instructions="Is it urgent?", criteria=decisions.NoulCriteria(true="it burns"))
ANGER = decisions.Score(instructions="How angry?", criteria=["calm", "cross", "furious"])


class Scripted:
    """A scripted model that wants to answer `says`; `prompts` is what it was asked."""

    def __init__(self) -> None:
        self.says, self.prompts = "", list[str]()

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return f"<think>Clear.</think><answer>{self.says}</answer>"


@pytest.fixture(scope="module")
def loaded() -> Iterator[Scripted]:
    scripted = Scripted()
    engine = load_scripted(scripted)
    yield scripted
    unload(engine)


@pytest.fixture
def scripted(loaded: Scripted) -> Scripted:
    loaded.prompts.clear()
    return loaded


@pytest.fixture
def model() -> VReasonDecisionModel:
    return VReasonDecisionModel(chat_model=ChatVReason(model="scripted"))


def ask(model: VReasonDecisionModel, state: Any, **questions: Any) -> Any:
    return model.invoke({"state": state, "questions": questions})


def test_the_likeliest_alternative_is_the_one_that_the_chat_model_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [make_clip(seed) for seed in range(30)]
    asked = [(clip, question) for clip in clips for question in clip.questions[:1] if question.options][:4]
    rows: list[int] = []
    generate = VideoLanguageModel.generate

    def counted(self: VideoLanguageModel, requests: Any, **rest: Any) -> Any:
        rows.append(len(requests))
        return generate(self, requests, **rest)

    chat_model, shares = ChatVReason(device="cpu"), []
    for index, (clip, question) in enumerate(asked):
        path = str(tmp_path / f"{index}.mp4")
        write_clip(Path(path), clip)
        said = chat_model.invoke([video_question(path, question.question, options=question.options)])
        with monkeypatch.context() as patch:
            patch.setattr(VideoLanguageModel, "generate", counted)
            choice = decisions.Choice(instructions=question.question, criteria=dict.fromkeys(question.options))
            response = ask(VReasonDecisionModel(chat_model=chat_model), {"type": "video", "url": path}, q=choice)
        answer = response.choices["q"]
        assert answer.choice == said.content
        assert list(answer.probabilities) == list(question.options)
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert answer.probabilities[answer.choice] == max(answer.probabilities.values())
        shares.append(answer.confidence)
    assert rows == [1] * len(asked)  # it thinks once, however many alternatives there are
    assert 0 < min(shares) < max(shares) < 1


def test_the_confidence_is_langchains_and_the_calibrated_probability_stands_beside_it(tmp_path: Path) -> None:
    clip = next(clip for clip in map(make_clip, range(30)) if clip.questions[0].options)
    question = clip.questions[0]
    write_clip(tmp_path / "clip.mp4", clip)
    state: Any = {"type": "video", "url": str(tmp_path / "clip.mp4")}
    choice = decisions.Choice(instructions=question.question, criteria=dict.fromkeys(question.options))
    model = VReasonDecisionModel(chat_model=ChatVReason(device="cpu"))
    found = model.decide(state, choice)
    even, highest = 1 / len(question.options), max(found.probabilities.values())
    assert isinstance(found.answer, decisions.ChoiceAnswer)
    assert found.answer.confidence == pytest.approx((highest - even) / (1 - even))
    said = ChatVReason(device="cpu").invoke([video_question(state["url"], question.question, options=question.options)])
    assert found.confidence.probability == said.response_metadata["confidence"]["probability"]
    assert found.confidence.probability is not None
    assert found.abstained_because is None
    strict = model.model_copy(update={"min_probability": 1.0})
    assert "of such answers are right, fewer than 100%" in (strict.decide(state, choice).abstained_because or "")
    assert ask(strict, state, q=choice).answers == {}


def test_without_a_calibrator_a_least_probability_withholds_every_answer(
    scripted: Scripted, model: VReasonDecisionModel
) -> None:
    scripted.says = "blue"
    doubted = model.model_copy(update={"min_probability": 0.5}).decide("The sky.", COLOR)
    assert doubted.abstained_because == "no calibrator gives this answer a probability of being right"


def test_each_kind_of_question_has_its_answer(scripted: Scripted, model: VReasonDecisionModel) -> None:
    scripted.says = "blue"
    choice = ask(model, "The sky.", color=COLOR).choices["color"]
    assert (choice.choice, list(choice.probabilities)) == ("blue", ["red", "blue"])
    assert choice.confidence > 0.99
    for says, expected in (("yes", 1.0), ("no", 0.0)):
        scripted.says = says
        assert ask(model, "Fire!", urgent=URGENT).nouls["urgent"].noul == pytest.approx(expected, abs=0.01)
    scripted.says = "2"
    score = ask(model, "Grr!", anger=ANGER).scores["anger"]
    assert score.score == pytest.approx(2, abs=0.02)
    assert score.legend == {0: "calm", 1: "cross", 2: "furious"}
    assert sum(score.probabilities.values()) == pytest.approx(1)


def test_several_questions_are_answered_under_their_names_with_the_tokens_of_all(
    scripted: Scripted, model: VReasonDecisionModel
) -> None:
    scripted.says = "red"
    response = ask(model, "Blood.", color=COLOR, other=decisions.Choice(instructions="?", criteria={"red": None}))
    assert response.model == "scripted"
    assert response.choices["other"].confidence == response.choices["other"].probabilities["red"] == 1.0
    assert response.usage["total_tokens"] == response.usage["input_tokens"] + response.usage["output_tokens"] > 60
    request: Any = {"state": "Blood.", "questions": {"color": COLOR}}
    assert asyncio.run(model.ainvoke(request)).choices["color"] == response.choices["color"]


def test_the_prompt_holds_state_descriptions_and_alternatives_and_never_the_one_that_is_scored(
    scripted: Scripted, model: VReasonDecisionModel, picture: Path
) -> None:
    scripted.says = "red"
    ask(model, {"seen": {"type": "image", "url": str(picture)}, "note": "ü"}, color=COLOR)
    assert len(set(scripted.prompts)) == 1
    prompt = scripted.prompts[0]
    assert '{"seen": "<1>", "note": "ü"}' in prompt
    assert prompt.index("<|vision_start|>") < prompt.index("Which color?\nred:\nlike blood\nOptions: red / blue")
    scripted.prompts.clear()
    ask(model, [HumanMessage("Look."), HumanMessage("Now.")], color=COLOR)
    assert "user\nLook.\nNow.\nWhich color?" in scripted.prompts[0]


def test_the_model_is_that_of_the_chat_model_unless_it_is_named() -> None:
    assert VReasonDecisionModel(chat_model=ChatVReason(model="other")).model == "other"
    assert VReasonDecisionModel(model="named", chat_model=ChatVReason(model="other")).model == "named"
    assert VReasonDecisionModel().model == "tiny"


def test_a_box_is_refused_with_what_to_ask(model: VReasonDecisionModel) -> None:
    with pytest.raises(ConfigError, match="ask a Choice, a Noul or a Score"):
        ask(model, "?", where=decisions.Box(instructions="The cat."))


def test_thinking_that_does_not_end_is_an_error_that_says_what_to_raise(scripted: Scripted) -> None:
    scripted.says = "red"
    short = VReasonDecisionModel(chat_model=ChatVReason(model="scripted", max_tokens=3))
    with pytest.raises(GenerationError, match="not reached after 3 tokens; raise chat_model's max_tokens"):
        ask(short, "?", color=COLOR)


def test_an_older_langchain_core_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core.decisions", None)
    monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(DependencyError, match=r"pip install 'langchain-core>=1\.8'"):
        importlib.import_module(module.__name__)
