"""How Sphinx builds these pages: `make docs`. Warnings are errors, so a link that leads nowhere fails the build."""

from __future__ import annotations

import re
from textwrap import indent
from typing import Any

import vreason_agent
import vreason_agent.serve  # before autodoc, which imports with TYPE_CHECKING set: pydantic then fails on FastAPI

project, author, release = "vreason-agent", "The vreason-agent developers", vreason_agent.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.mermaid"]
html_theme, html_title = "furo", "vreason-agent"
root_doc = "docs/index"  # the source folder is the repository's root, so that links to these pages are checked too
include_patterns = [
    "docs/*.md",
    "docs/internals/*.md",
    "README.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "vreason_agent/tiny/MODEL_CARD.md",
]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
napoleon_use_ivar = True

_FENCE = re.compile(r"```python\n(.*?)```", re.DOTALL)
_CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)(\w?)")


def from_markdown(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn the code marks of a docstring, written for readers of the source, into those of reStructuredText."""
    text = _FENCE.sub(lambda fence: f".. code-block:: python\n\n{indent(fence[1], '   ')}", "\n".join(lines))
    text = _CODE.sub(lambda code: f"``{code[1]}``" + (f"\\ {code[2]}" if code[2] else ""), text)
    lines[:] = text.split("\n")


def setup(app: Any) -> None:
    """Connect `from_markdown` ahead of napoleon."""
    app.connect("autodoc-process-docstring", from_markdown, priority=400)
