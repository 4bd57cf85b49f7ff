"""Which part of the package may import which: the arrows of docs/architecture.md, held to the code."""

from __future__ import annotations

import ast
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LANGCHAIN = {"langchain_core", "langgraph"}
MODELS = {"torch", "transformers", "safetensors", "tokenizers", "huggingface_hub"}
CHAT = ("chat", "chat_model", "decision_model", "evidence_probes", "messages", "question", "video_session")

# Part: (parts of this package it may import, libraries it may not).
ARROWS: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), {*LANGCHAIN, *MODELS, "cv2", "numpy", "pydantic"}),
    "answers": (set(), {*LANGCHAIN, *MODELS, "cv2", "numpy", "pydantic"}),
    "video": ({"errors"}, {*LANGCHAIN, *MODELS}),
    "plots": ({"errors"}, {*LANGCHAIN, *MODELS, "cv2", "numpy"}),
    "telemetry": (set(), {*LANGCHAIN, *MODELS, "cv2", "numpy", "pydantic"}),
    "decoding": ({"errors", "plots"}, {*LANGCHAIN, "cv2"}),
    "model": ({"errors", "answers", "video", "decoding", "telemetry"}, LANGCHAIN),
    "confidence": ({"errors", "answers"}, {*LANGCHAIN, *MODELS, "cv2"}),
    "tools": ({"errors", "video", "confidence", "question"}, {*MODELS, "langgraph"}),
    "graphs": ({"errors", "video", "confidence", "question", "tools", "telemetry"}, {*MODELS, "cv2"}),
    "evaluation": (
        {"errors", "answers", "video", "decoding", "model", "confidence", "plots", "tiny", *CHAT},
        {"langgraph", *MODELS},
    ),
    "qa": ({"graphs", "video"}, {*MODELS, "langgraph", "cv2"}),
    "shared_queue": ({"errors", "model", "chat"}, {*MODELS, *LANGCHAIN, "cv2"}),
    "batch_run": ({"errors", "video", "evaluation", "qa", "shared_queue"}, {*MODELS, *LANGCHAIN, "cv2"}),
    "ask_page": ({"errors", "confidence", "model", "plots", "qa", "receipt"}, {*MODELS, *LANGCHAIN, "cv2"}),
    "mcp_server": (
        {"errors", "video", "confidence", "batch_run", "decision_model", "qa", "tools"},
        {*MODELS, "langgraph", "cv2"},
    ),
    "receipt": ({"errors", "video", "confidence", "plots", "qa", "tools"}, {*MODELS, *LANGCHAIN, "cv2"}),
    "serve": (
        {"errors", "video", "decoding", "model", "chat", "decision_model", "qa", "shared_queue"},
        {*MODELS, "langgraph", "cv2"},
    ),
    "tiny": ({"errors", "video", "decoding", "model"}, LANGCHAIN),
    "cli": (
        {"errors", "answers", "video", "decoding", "model", "confidence", "chat_model", "question", "graphs", "tiny"}
        | {"batch_run", "mcp_server", "decision_model", "qa", "ask_page", "receipt", "serve", "evaluation"},
        set(),
    ),
    "lmms_eval_plugin": ({"errors", "chat_model"}, {*MODELS, "langgraph", "cv2"}),
    "langgraph_app": ({"chat_model", "graphs"}, {*MODELS, "cv2"}),
    **{
        part: ({"errors", "answers", "video", "decoding", "model", "confidence", *CHAT}, {"langgraph"}) for part in CHAT
    },
}


def files_of(part: str) -> list[Path]:
    module = ROOT / "vreason_agent" / f"{part}.py"
    return [module] if module.exists() else sorted((ROOT / "vreason_agent" / part).glob("**/*.py"))


def imports_of(path: Path) -> set[str]:
    """Return the absolute names that a file imports, inside functions and for type checkers too."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = ".".join(parts[:-1])
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            module = resolve_name("." * node.level + module, package) if node.level else module
            names |= {module} if module != "vreason_agent" else {f"vreason_agent.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("part", ARROWS)
def test_a_part_imports_only_what_its_arrows_allow(part: str) -> None:
    allowed, forbidden = ARROWS[part]
    assert files_of(part), f"{part} has no files"
    wrong = []
    for path in files_of(part):
        for name in imports_of(path):
            top, _, rest = name.partition(".")
            target = rest.partition(".")[0]
            inside = top == "vreason_agent" and target not in {"", "__version__", part, *allowed}
            if inside or top in forbidden:
                wrong.append(f"{path.name}: {name}")
    assert wrong == []


def test_every_folder_of_the_package_has_its_arrows() -> None:
    folders = {path.parent.name for path in (ROOT / "vreason_agent").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "vreason_agent").glob("*.py")} - {"__init__", "__main__"}
    assert folders | modules == set(ARROWS)


def test_only_the_command_line_prints() -> None:
    printing = [
        str(path.relative_to(ROOT))
        for part in sorted(set(ARROWS) - {"cli"})
        for path in files_of(part)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    # Programs of their own, run as `python -m`: the clip writer, the training, and what reports on them.
    assert [name for name in printing if not name.startswith("vreason_agent/tiny/")] == []


def test_only_the_command_line_and_quote_catch_every_exception() -> None:
    catching = [
        str(path.relative_to(ROOT))
        for part in ARROWS
        for path in files_of(part)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    ]
    assert catching == ["vreason_agent/errors.py", "vreason_agent/cli/__init__.py"]  # `quote` names what has no repr


def test_no_two_modules_share_a_name() -> None:
    folders = [ROOT / "vreason_agent", ROOT / "graphs", ROOT / "tools"]
    modules = {path.resolve() for folder in folders for path in folder.glob("**/*.py")}
    names = [path.stem for path in modules if path.stem not in {"__init__", "__main__"}]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_circle_among_modules() -> None:
    """Imports at run time, at the top of a module; a package's front door imports its modules and is none of them."""
    files = {module_name(path): path for part in ARROWS for path in files_of(part) if path.stem != "__init__"}
    arrows = {name: imports_at_top(path) & set(files) for name, path in files.items()}
    while leaves := [name for name, targets in arrows.items() if not targets & set(arrows)]:
        for name in leaves:
            del arrows[name]
    assert sorted(arrows) == []


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports_at_top(path: Path) -> set[str]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            package = ".".join(parts[: len(parts) - node.level]) + "." if node.level else ""
            module = package + (node.module or "")
            names |= {module.rstrip("."), *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names
