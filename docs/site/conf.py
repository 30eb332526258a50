"""The documentation as a site: `make site` (ADR 0033).

The pages are the Markdown files that a repository page shows, unchanged. The navigation is what `docs/index.md` lists.
Nothing that a page loads comes from another host, so that the site works from a folder without a network.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from deltamark.config.xml.xsd import FILE_NAME as SCHEMA
from deltamark.config.xml.xsd import configuration_schema

ROOT = Path(__file__).parent.parent.parent
INDEX, DECISIONS = "docs/index", "docs/adr/README"
CONFIGURATION = "docs/reference/configuration"
MERMAID = "mermaid.tiny.js"

project = "Deltamark"
author = "The Deltamark developers"
project_copyright = author
version = release = re.findall(r'= "(.+)"', (ROOT / "deltamark" / "version.py").read_text("utf-8"))[0]

extensions = ["myst_parser"]
root_doc = INDEX
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".*", "deltamark", "tests", "benchmarks", "examples", "build", "dist"]
exclude_patterns += ["domain", "application", "infrastructure", "interfaces", "config", "demo", "bench-data"]

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

html_theme = "furo"
html_title = f"Deltamark {release}"
html_static_path = ["static"]
html_extra_path = ["extra"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "default"

_LISTED = re.compile(r"^[-|] .*", re.MULTILINE)
_PAGE = re.compile(r"\[[^\]]+\]\(([^)#:]+)\.md\)")


class Mermaid(Directive):
    """A diagram as text, which the browser draws."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """The text in the element that Mermaid looks for."""
        text = html.escape("\n".join(self.content), quote=False)
        return [nodes.raw("", f'<pre class="mermaid">{text}</pre>', format="html")]


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Makes each section of the index a part of the navigation, and the list of decisions a part below."""
    if page == INDEX:
        for section in re.split(r"^## ", source[0], flags=re.MULTILINE)[1:]:
            title, _, text = section.partition("\n")
            source[0] += _toctree(text, f":caption: {title}")
    elif page == DECISIONS:
        source[0] += _toctree(source[0].split("\n## ")[0])


def _toctree(text: str, *options: str) -> str:
    pages = [page for line in _LISTED.findall(text) for page in _PAGE.findall(line)]
    return "\n".join(("\n\n```{toctree}", ":hidden:", *options, "", *pages, "```\n")) if pages else ""


def add_schema(app: Sphinx, page: str, source: list[str]) -> None:
    """Leads from the reference of configurations to their schema, which only the site has as a file."""
    if page == CONFIGURATION:
        source[0] += f'\nThe schema itself, for editors: <a href="{SCHEMA}">{SCHEMA}</a>.\n'


def write_schema(app: Sphinx, fault: Exception | None) -> None:
    """Writes the schema beside the reference of configurations."""
    if fault is None:
        (Path(app.outdir) / CONFIGURATION).with_name(SCHEMA).write_text(configuration_schema(), "utf-8")


def add_mermaid(app: Sphinx, page: str, template: str, context: dict[str, object], tree: nodes.document | None) -> None:
    """Loads Mermaid on the pages that have a diagram."""
    if tree is not None and any('class="mermaid"' in raw.astext() for raw in tree.findall(nodes.raw)):
        app.add_js_file(MERMAID)


def setup(app: Sphinx) -> None:
    """Registers what this file adds to Sphinx."""
    app.add_directive("mermaid", Mermaid)
    for language in ("csv", "crontab"):
        app.add_lexer(language, TextLexer)
    app.connect("source-read", add_navigation)
    app.connect("source-read", add_schema)
    app.connect("build-finished", write_schema)
    app.connect("html-page-context", add_mermaid)
