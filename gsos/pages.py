"""Executed notebooks, and the files that they link to, as pages that need no network.

nbconvert renders the notebooks, here with two differences: formulas become MathML, which browsers show by themselves,
and links lead to what the site has.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urldefrag, urlsplit

import nbformat
import pandas as pd
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename

from gsos.paths import ROOT

TEMPLATES = Path(__file__).parent / "site"
SHOWN = (".py", ".csv", ".yaml", ".md")  # linked files that have pages; folders have too


class Page(NamedTuple):
    """What stands on a page: its title, its HTML, and the images that it shows."""

    title: str
    body: str
    images: Mapping[str, bytes]  # path relative to the page -> PNG, JPEG or SVG


class Links:
    """Where a notebook's relative links lead in a site with the folders notebooks/ and files/."""

    def __init__(self, notebooks: Iterable[str]) -> None:
        self.notebooks = set(notebooks)  # stems of those that have a page
        self.files: set[Path] = set()  # linked, relative to the project; they need pages

    def __call__(self, url: str) -> str | None:
        """A link as written in a notebook -> one relative to a notebook's page, or None for what is not there."""
        path, fragment = urldefrag(url)
        if urlsplit(url).scheme or not path:
            return url
        after = f"#{fragment}" if fragment else ""
        target = Path(os.path.normpath(ROOT / "notebooks" / path))
        if target.parent == ROOT / "notebooks" and target.suffix == ".ipynb":
            return f"{target.stem}.html{after}" if target.stem in self.notebooks else None
        has_page = target.is_dir() or (target.is_file() and target.suffix in SHOWN)
        if not (has_page and ROOT in target.parents):
            return None
        self.files.add(target.relative_to(ROOT))
        return f"../files/{target.relative_to(ROOT).as_posix()}.html"


def formula(latex: str, display: str = "block") -> str:
    """LaTeX -> MathML; display is "block" or "inline"."""
    known = re.sub(r"\\arg(?![a-z])", r"\\operatorname{arg}", latex.strip("$ \n"))  # which latex2mathml does not know
    mathml = convert(known, display=display)
    return f'<span class="formula">{mathml}</span>' if display == "block" else mathml


class _Renderer(IPythonRenderer):
    links: Links

    def block_math(self, body: str) -> str:
        return formula(body)

    def inline_math(self, body: str) -> str:
        return formula(body, "inline")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        place = self.links(url)
        return text if place is None else super().link(text, place, title)


class _Exporter(HTMLExporter):
    links: Links

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        renderer = _Renderer(escape=False, attachments=context.get("cell", {}).get("attachments", {}))
        renderer.links = self.links
        return MarkdownWithMath(renderer=renderer).render(source)


def exporter(links: Links) -> HTMLExporter:
    """An nbconvert exporter of a notebook's cells, without the page around them."""
    made = _Exporter(
        template_name="notebook",
        extra_template_basedirs=[str(TEMPLATES)],
        preprocessors=["nbconvert.preprocessors.ExtractOutputPreprocessor"],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"formula": formula},
    )
    made.links = links
    return made


def render(path: Path, titles: Mapping[str, str], by: HTMLExporter) -> Page:
    """An executed notebook as a page. titles: of the figures by name, which become their images' descriptions."""
    notebook = nbformat.read(path, as_version=4)
    title = _title(notebook) or path.stem
    for cell in notebook.cells:
        _describe_images(cell, titles, f"a figure of notebook {title}")
    body, resources = by.from_notebook_node(notebook, {"unique_key": path.stem, "output_files_dir": path.stem})
    return Page(title, body, resources["outputs"])


def listing(folder: Path) -> list[Path]:
    """The files of a folder of the project that are shown, at any depth, relative to the folder."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.suffix in SHOWN)


def show(path: Path) -> str:
    """A text file as HTML: CSV as a table, all else highlighted."""
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype=str, keep_default_na=False).to_html(index=False, border=0)
    return highlight(path.read_text("utf-8"), get_lexer_for_filename(path.name), HtmlFormatter())


def _title(notebook: NotebookNode) -> str | None:
    sources = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return next((found[1] for source in sources if (found := re.search(r"^# (.+)", source, re.MULTILINE))), None)


def _describe_images(cell: NotebookNode, titles: Mapping[str, str], otherwise: str) -> None:
    named = [titles[name] for name in re.findall(r"\"(\w+)\"", cell.source) if name in titles]
    images = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    for i, output in enumerate(images):
        output.metadata["alt"] = named[i] if i < len(named) else otherwise
