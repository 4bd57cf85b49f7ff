"""What a retry is worth, by strategy: `python -m benchmarks.retries --out DIR`.

Every question is asked once at the last rung, by the real graph; those whose answer is not accepted there are asked
again, once with each strategy, at the same number of frames. Shown is what the second look did to the best guess, how
much the retry cost, and, as the measure of chance, what taking the last answer whatever its confidence would give.
Development seeds: the default follows this table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vreason_agent.chat_model import ChatVReason
from vreason_agent.evaluation import Answer, Question, bootstrap_difference, score
from vreason_agent.evaluation.report import markdown_table, percent
from vreason_agent.evaluation.world_dataset import ensure_clips
from vreason_agent.graphs import build_video_qa_graph
from vreason_agent.graphs.policy import RETRIES, AcceptPolicy, Ladder

HEADS = ["strategy", "retried", "right before", "best guess after", "difference", "last answer", "accepted", "wrong"]


def main(argv: Sequence[str] | None = None) -> None:
    """Ask what has not been asked, and print a table per set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retries", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of clips and answers")
    parser.add_argument("--scene-sets", nargs="+", default=["standard", "dense"])
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=32)
    args = parser.parse_args(argv)
    for scene_set in args.scene_sets:
        questions = ensure_clips(
            args.out / "clips", "dev", args.questions, first_seed=args.first_seed, scene_set=scene_set
        )
        rows = list(_answers(args.out / f"{scene_set}-{args.frames}.jsonl", questions, args.frames))
        seeds = f"seeds {args.first_seed} to {args.first_seed + args.questions - 1}"
        print(f"\n{scene_set}, dev {seeds}, {args.frames} frames")
        print(markdown_table(HEADS, [_row(name, rows) for name in RETRIES]), flush=True)


def _answers(path: Path, questions: Sequence[Question], num_frames: int) -> Iterator[dict[str, Any]]:
    """Yield per question what each strategy came to; `None` for those whose first answer was accepted."""
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    yield from known
    model = ChatVReason(model="tiny")
    ladder = Ladder(num_frames, num_frames)
    policies = {name: AcceptPolicy(max_retries=1, variations=(name,)) for name in RETRIES}
    graphs = {name: build_video_qa_graph(model, ladder=ladder, policy=policy) for name, policy in policies.items()}
    with path.open("a") as file:
        for number, question in enumerate(questions[len(known) :], start=len(known) + 1):
            row: dict[str, Any] = {"id": question.id, "cluster": question.cluster, "strategies": {}}
            for name, graph in graphs.items():
                asked = {"video": question.video, "question": question.question, "options": list(question.options)}
                state = graph.invoke(asked)
                if len(state["attempts"]) < 2:
                    break
                row["strategies"][name] = _told(question, state)
            file.write(json.dumps(row) + "\n")
            file.flush()
            print(f"\r{number}/{len(questions)}", end="", flush=True)
            yield row


def _told(question: Question, state: dict[str, Any]) -> dict[str, Any]:
    attempts, last = state["attempts"], state["decisions"][-1]
    right = [_is_right(question, attempt) for attempt in attempts]
    return {
        "right": right,
        "best": right[last["quotes"]],
        "accepted": last["action"] == "accept",
        "probabilities": [attempt["confidence"].get("probability") for attempt in attempts],
        "seconds": [attempt["seconds"] for attempt in attempts],
    }


def _is_right(question: Question, attempt: dict[str, Any]) -> bool:
    answer = Answer(text=attempt["text"], answer=attempt["answer"], choice=attempt["choice"])
    return score(question, answer).is_correct


def _row(name: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    tried = [row for row in rows if name in row["strategies"]]
    told = [row["strategies"][name] for row in tried]
    if not told:
        return [name, "0", *["-"] * (len(HEADS) - 2)]
    before, after = [float(one["right"][0]) for one in told], [float(one["best"]) for one in told]
    difference = bootstrap_difference(before, after, clusters=[row["cluster"] for row in tried])
    accepted = [one for one in told if one["accepted"]]
    share = 100 / len(told)
    return [
        name,
        f"{len(told)} of {len(rows)}",
        f"{share * sum(before):.1f}",
        f"{share * sum(after):.1f}",
        percent(difference, signed=True),
        f"{share * sum(one['right'][-1] for one in told):.1f}",
        f"{share * len(accepted):.1f}",
        f"{100 * sum(not one['best'] for one in accepted) / len(accepted):.1f}" if accepted else "-",
    ]


if __name__ == "__main__":
    main()
