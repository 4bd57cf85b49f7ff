"""`vreason-agent eval`: ask a model every question of a dataset, score, report; and compare two such runs.

A run is a folder that a stopped command goes on from: `rows.jsonl` (every question with its answer and signals),
`manifest.json`, `report.json`, `report.md` and, with the extra `plots`, `report.html`. This module puts datasets, model
and reports together and knows how none of them works.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vreason_agent.cli.parser import (
    SCHEDULES,
    UsageError,
    add_loading_options,
    add_subtitles_option,
    check_revision,
    name,
    whole_number,
)
from vreason_agent.errors import ConfigError, DependencyError, EvaluationError, quote

if TYPE_CHECKING:
    from vreason_agent.evaluation import Question
    from vreason_agent.evaluation.adapter import Engine, Setting

COMPARE, REPORT = "compare", "report"
WORLDS = ("standard", "mixed", "dense")
VARIANTS = ("direct", *SCHEDULES, "lite")
MANIFEST = "manifest.json"
SECONDS_BETWEEN_LINES = 30.0


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its arguments."""
    parser = commands.add_parser(
        "eval",
        help="measure a model on a dataset, and compare two runs",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Ask a model every question of a dataset, score its answers and report accuracy with intervals.\n\n"
        "  vreason-agent eval DATASET --out RUN     ask, score, report; run it again to go on after a stop\n"
        "  vreason-agent eval compare RUN RUN       paired differences, resampled by video\n"
        "  vreason-agent eval report RUN            score and report anew, without a model",
        epilog="DATASET is world:standard, world:mixed or world:dense (generated clips), a JSONL file, a folder\n"
        "of clips, or a published file: video-r1:FILE, videomme:FILE, videomme-v2:FILE, mmvu:FILE, vsibench:FILE,\n"
        "longvideobench:FILE, egoschema:FILE, with its clips in --videos. An answer that cannot be read is wrong, and\n"
        "a question that fails stays in the denominator.",
    )
    add = parser.add_argument
    add("target", nargs="+", type=name, metavar="DATASET", help="what to ask; or compare RUN RUN; or report RUN")
    add("--out", type=Path, metavar="RUN", help="folder of the run, made if it is not there")
    add("--videos", type=Path, metavar="DIR", help="folder of the dataset's clips (default: videos beside its file)")
    add("--questions", type=positive, metavar="N", help="ask the first N questions (default: all; of a world 200)")
    add("--split", choices=("dev", "test"), default="dev", help="seeds of a world: dev to tune, test for figures")
    add("--first-seed", type=whole_number, default=0, metavar="N", help="first seed of a world (default: 0)")
    add("--frames", type=frames, nargs="+", default=[8], metavar="N", help="frames per clip, 0 is no video (default 8)")
    add("--ladder", type=frames, metavar="N", help="spread fewer frames as the rungs of a ladder up to N, as ask does")
    add("--schedule", choices=SCHEDULES, default="off", metavar="S", help="V-Reason schedule (default: off)")
    add(
        "--compare-schedules",
        type=variants,
        metavar="LIST",
        help=f"several, paired against off, separated by commas: {', '.join(VARIANTS)}; direct answers "
        "without reasoning, lite is switching with half of the video tokens dropped",
    )
    add("--temperature", type=float, nargs="+", default=[0.0], metavar="T", help="0 is greedy (default: 0)")
    add("--seeds", type=positive, default=1, metavar="N", help="runs with sampling or random signs (default: 1)")
    add("--learning-rate", type=float, metavar="R", help="V-Reason's step, in units of the values' RMS")
    add("--update-interval", type=positive, metavar="K", help="tokens between V-Reason's updates")
    add("--optim-steps", type=positive, metavar="N", help="optimizer steps per update")
    add("--eps", type=float, metavar="E", help="gradient below which V-Reason's step shrinks")
    add("--warmup-steps", type=positive, metavar="N", help="first tokens without an update")
    add("--apply-to", choices=("next", "current"), help="token that an update first acts on")
    add("--max-tokens", type=positive, default=256, metavar="N", help="longest answer (default: 256)")
    add("--batch-size", type=positive, default=16, metavar="N", help="questions generated together (default: 16)")
    add_subtitles_option(parser)
    add("--oracle", action="store_true", help="of a world: also the answers of one who sees the same frames perfectly")
    add_loading_options(parser)
    add("--json", action="store_true", help="print the report as one JSON object")
    parser.set_defaults(run=run)


def positive(value: str) -> int:
    """Accept a number from 1."""
    if (number := whole_number(value)) < 1:
        msg = f"{quote(value)} is not a whole number from 1"
        raise argparse.ArgumentTypeError(msg)
    return number


def frames(value: str) -> int:
    """Accept an even number of frames, or 0."""
    if (number := whole_number(value)) % 2:
        msg = f"{quote(value)} must be even, because frames are read in pairs; try {number + 1}, or 0 for no video"
        raise argparse.ArgumentTypeError(msg)
    return number


def variants(value: str) -> list[str]:
    """Accept names of `VARIANTS` separated by commas; `off` is always among them, first."""
    names = [part.strip() for part in value.split(",") if part.strip()]
    if unknown := [part for part in names if part not in VARIANTS]:
        msg = f"{quote(unknown[0])} is none of {', '.join(VARIANTS)}"
        raise argparse.ArgumentTypeError(msg)
    return list(dict.fromkeys(["off", *names]))


def run(arguments: argparse.Namespace) -> int:
    """Run one of the three forms and print its report."""
    form, *paths = arguments.target
    wanted = {COMPARE: 2, REPORT: 1}.get(form, 0)
    if len(paths) != wanted:
        msg = f"eval {form} takes {wanted} more names, found {len(paths)}; run: vreason-agent eval --help"
        raise UsageError(msg)
    if form == COMPARE:
        return _compare(Path(paths[0]), Path(paths[1]), as_json=arguments.json)
    if form == REPORT:
        return _report(Path(paths[0]), as_json=arguments.json)
    return _evaluate(form, arguments)


def _compare(first: Path, second: Path, *, as_json: bool) -> int:
    from vreason_agent.evaluation.run_report import compare_folders, comparison_text
    from vreason_agent.evaluation.runner import read_runs

    names = (first.name, second.name)
    compared = compare_folders(read_runs(first), read_runs(second), names=names)
    print(json.dumps(compared) if as_json else comparison_text(compared))
    return 0


def _report(folder: Path, *, as_json: bool) -> int:
    """Score a run's answers anew and write its reports."""
    from vreason_agent.evaluation.run_report import make_report, report_html, report_text
    from vreason_agent.evaluation.runner import read_runs

    runs, manifest = read_runs(folder), read_manifest(folder)
    report = make_report(manifest, runs)
    text = report_text(report)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(text + "\n", encoding="utf-8")
    try:
        (folder / "report.html").write_text(report_html(report, runs), encoding="utf-8")
    except DependencyError as error:
        print(f"no report.html: {error}", file=sys.stderr)
    print(json.dumps(report) if as_json else text)
    return 0


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what an eval run says of itself.

    Raises:
        EvaluationError: it cannot be read.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        msg = f"{quote(str(folder / MANIFEST))} cannot be read ({exc}); make the run anew with eval DATASET --out RUN"
        raise EvaluationError(msg) from exc
    return manifest


def _evaluate(dataset: str, arguments: argparse.Namespace) -> int:
    if arguments.out is None:
        msg = "eval needs a folder for the run; add --out RUN"
        raise UsageError(msg)
    check_revision(arguments)
    kind, _, rest = dataset.partition(":")
    if kind == "world" and rest not in WORLDS:
        msg = f"{quote(dataset)} is no world; use one of {', '.join(f'world:{world}' for world in WORLDS)}"
        raise UsageError(msg)
    if arguments.oracle and kind != "world":
        msg = "--oracle needs generated clips, whose scenes are known; use it with world:standard or another world"
        raise UsageError(msg)
    questions, notes, benchmark = _load(dataset, arguments)
    manifest = _begin(arguments.out, dataset, questions, notes, benchmark)

    from vreason_agent.evaluation.adapter import Engine
    from vreason_agent.model import describe_model
    from vreason_agent.receipt.contents import versions

    options = {key: getattr(arguments, key) for key in ("revision", "device", "dtype") if getattr(arguments, key)}
    engine = Engine.load(arguments.model, **options) if arguments.model else Engine.load(_default_model(), **options)
    manifest |= {"model": {**describe_model(engine.model), **engine.identity}, "versions": versions()}
    _write_manifest(arguments.out, manifest)
    for setting in settings_of(arguments):
        _answer(engine, setting, questions, arguments)
    _write_manifest(arguments.out, manifest | {"finished": _now()})
    return _report(arguments.out, as_json=arguments.json)


def _default_model() -> str:
    from vreason_agent.model.source import default_model

    return default_model()


def _load(dataset: str, arguments: argparse.Namespace) -> tuple[list[Question], list[str], str | None]:
    """Return a dataset's questions, notes for the report, and the benchmark whose figures are due."""
    from vreason_agent.evaluation.benchmark_files import BENCHMARKS, load_benchmark, missing_videos
    from vreason_agent.evaluation.dataset import load_questions

    kind, _, rest = dataset.partition(":")
    if kind == "world":
        from vreason_agent.evaluation.world_dataset import ensure_clips

        folder = arguments.videos or arguments.out / "clips"
        questions = ensure_clips(
            folder,
            arguments.split,
            arguments.questions or 200,
            first_seed=arguments.first_seed,
            scene_set=rest,  # type: ignore[arg-type]  # checked against WORLDS
            on_progress=progress_line("clips"),
        )
        return questions, [f"{arguments.split} seeds from {arguments.first_seed} on"], None
    notes: list[str] = []
    if kind in BENCHMARKS:
        loaded = load_benchmark(kind, rest, videos=arguments.videos)
        questions, notes = loaded.questions, list(loaded.notes)
    else:
        questions = load_questions(dataset)
    questions = questions[: arguments.questions]
    if missing := missing_videos(questions):
        videos = len({question.video for question in questions})
        if len(missing) == videos:
            msg = (
                f"none of the dataset's {videos} videos is there, the first is {quote(missing[0])}; name their folder: "
            )
            raise EvaluationError(f"{msg}--videos DIR")
        notes.append(f"{len(missing)} of {videos} videos are missing, so that their questions count as wrong")
    return questions, notes, kind if kind in BENCHMARKS else None


def settings_of(arguments: argparse.Namespace) -> Iterator[Setting]:
    """Yield every setting of a run: frames, temperatures, schedules, seeds."""
    from vreason_agent.decoding import VReasonConfig
    from vreason_agent.evaluation.adapter import Setting

    given = {
        "learning_rate": arguments.learning_rate,
        "update_interval": arguments.update_interval,
        "num_optim_steps": arguments.optim_steps,
        "eps": arguments.eps,
        "warmup_steps": arguments.warmup_steps,
        "apply_to": arguments.apply_to,
    }
    steps = {key: value for key, value in given.items() if value is not None}
    for num_frames in arguments.frames:
        for temperature in arguments.temperature:
            for variant in arguments.compare_schedules or [arguments.schedule]:
                schedule: Any = {"lite": "switching", "direct": "off"}.get(variant, variant)
                options = {} if schedule == "off" else steps
                vreason = VReasonConfig(schedule=schedule, lite=variant == "lite", **options)
                setting = Setting(
                    num_frames=num_frames,
                    max_frames=arguments.ladder if 0 < num_frames < (arguments.ladder or 0) else None,
                    vreason=vreason,
                    temperature=temperature,
                    max_new_tokens=arguments.max_tokens,
                    is_direct=variant == "direct",
                    subtitles=arguments.subtitles or "none",
                )
                is_drawn = variant != "direct" and (temperature > 0 or schedule == "random")
                yield from (replace(setting, seed=seed) for seed in range(arguments.seeds)) if is_drawn else [setting]


def _answer(engine: Engine, setting: Setting, questions: Sequence[Question], arguments: argparse.Namespace) -> None:
    from vreason_agent import __version__
    from vreason_agent.evaluation.runner import ROWS
    from vreason_agent.evaluation.runner import run as run_questions

    if setting.is_direct:
        questions = [question for question in questions if question.options]
    config = {"label": setting.name, "package": __version__, **engine.identity, **setting.to_dict()}
    results = run_questions(
        questions,
        engine.answering(setting),
        path=arguments.out / ROWS,
        config=config,
        batch_size=arguments.batch_size,
        on_progress=progress_line(f"{setting.name}, seed {setting.seed}" if setting.seed else setting.name),
    )
    if arguments.oracle and setting.num_frames:
        from vreason_agent.evaluation.world_dataset import oracle_results

        oracle = {result.question.digest: result.answer for result in oracle_results(results)}
        name = f"oracle, {setting.num_frames} frames"
        run_questions(
            questions,
            lambda batch: [oracle[question.digest] for question in batch],
            path=arguments.out / ROWS,
            config={"label": name, "num_frames": setting.num_frames},
            batch_size=len(questions),
        )


def progress_line(label: str) -> Callable[[int, int], None]:
    """Return a callback that tells on stderr how many are done, seconds each and the time left.

    A terminal has one line that changes; a file gets a line at most twice a minute.
    """
    began, before, told = time.monotonic(), -1, -math.inf
    is_terminal = sys.stderr.isatty()

    def show(num_done: int, total: int) -> None:
        nonlocal before, told
        before, now = num_done if before < 0 else before, time.monotonic()
        if not (is_terminal or num_done == total or now - told >= SECONDS_BETWEEN_LINES):
            return
        told = now
        each = (now - began) / (num_done - before) if num_done > before else None
        left = "" if each is None else f", {each:.2f} s each, {_clock(each * (total - num_done))} left"
        start, end = ("\r", "\n" if num_done == total else "   ") if is_terminal else ("", "\n")
        print(f"{start}{label}: {num_done}/{total}{left}", end=end, file=sys.stderr, flush=True)

    return show


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _begin(
    folder: Path, dataset: str, questions: Sequence[Question], notes: Sequence[str], benchmark: str | None
) -> dict[str, Any]:
    """Return the manifest of a run that begins or goes on in a folder.

    Raises:
        ConfigError: The folder holds answers to other questions.
    """
    from vreason_agent.evaluation.dataset import digest_of

    digest = digest_of([question.digest for question in questions])
    began = _now()
    if (folder / MANIFEST).exists():
        old = read_manifest(folder)
        if old.get("dataset_digest") != digest:
            msg = f"{quote(str(folder))} holds answers to {old.get('dataset')} ({old.get('num_questions')} questions), "
            raise ConfigError(f"{msg}not to these {len(questions)}; choose another --out")
        began = old.get("began", began)
    return {
        "dataset": dataset,
        "dataset_digest": digest,
        "num_questions": len(questions),
        "num_videos": len({question.cluster for question in questions}),
        "benchmark": benchmark,
        "notes": list(notes),
        "began": began,
    }


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
