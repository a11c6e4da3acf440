"""The replication report of a run: a static site with every claim, the figures beside the numbers, and the notebooks.

Its pages are Jinja templates (gsos/site). The table of claims is DataTables by way of itables, with all of it inside
the page, so that the site works from a folder, without a network. Links are relative: the folder can be moved.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from itables import JavascriptFunction, to_html_datatable
from itables.javascript import generate_init_offline_itables_html
from itables.options import dt_bundle
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image
from pyarrow import parquet
from pygments.formatters import HtmlFormatter

from gsos import pages, profiles, published, verdicts
from gsos.claims import VERDICTS
from gsos.pages import TEMPLATES, Links, Page
from gsos.paths import DATA, ROOT

CHAIN = "08_chain"  # the figure that opens the report
JUDGED = ("verdict", "on these records")
STYLES = {"light": "xcode", "dark": "github-dark"}  # of Pygments: on our grounds no contrast is below 4.5
_DATATABLES = {  # its options, and those of itables; https://datatables.net/reference/option
    "table_id": "claims-table",
    "caption": "A heading sorts by its column. Ours is given with its 95 % interval, where there is one.",
    "connected": False,
    "allow_html": True,
    "maxBytes": 0,  # no limit
    "showIndex": False,
    "classes": "",
    "style": "width:100%",
    "autoWidth": False,
    "language": {"search": "Search", "lengthMenu": "_MENU_ a page", "zeroRecords": "No claim is like that."}
    | {"info": "_START_ to _END_ of _TOTAL_ claims", "infoEmpty": "no claims", "infoFiltered": "(of _MAX_)"},
    "layout": {"topStart": "search", "topEnd": "pageLength", "bottomStart": "info", "bottomEnd": "paging"},
    "lengthMenu": [25, 50, {"label": "all", "value": -1}],
    "pageLength": 25,
    "text_in_header_can_be_selected": False,  # it sorts instead
    "display_logo_when_loading": False,
    "warn_on_undocumented_option": False,  # `on` is known to DataTables
}


class Figure(NamedTuple):
    """A figure of the run, with the claims that it bears on."""

    name: str
    title: str
    width: int  # pixels
    height: int
    claims: pd.DataFrame  # `verdicts.shown`


def make(folder: Path) -> Path:
    """Write the site `folder`/report, in place of an earlier one, and return its index.html. Same run, same bytes.

    folder: of a run, such as runs/recorded; its name is the profile's. Raises ValueError where no notebook has run.
    """
    executed = sorted((folder / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not executed:
        raise ValueError(f"{folder} has no executed notebooks: `gsos run --profile {folder.name}` makes them")
    table, titles = verdicts.join(folder), published.table("figures").set_index("name").title.to_dict()
    links = Links(path.stem for path in executed)
    exporter = pages.exporter(links)
    notebooks = {path.stem: pages.render(path, titles, exporter) for path in executed}
    site, environment = folder / "report", _environment(folder.name)
    if site.exists():
        shutil.rmtree(site)
    (site / "figures").mkdir(parents=True)
    for path in (folder / "figures").glob("*.png"):
        shutil.copyfile(path, site / "figures" / path.name)
    (site / "style.css").write_text(_stylesheet(), "utf-8")
    _write_notebooks(site, environment, notebooks)
    _write_files(site, environment, links.files)
    _write_index(site, environment, folder, table, notebooks)
    return site / "index.html"


def records_of(folder: Path) -> pd.DataFrame:
    """The trained models that a run's notebooks read, one row a study: notebooks, records, datasets, devices, versions.

    They are in `folder`/records or, where nothing was trained, among the committed ones.
    Raises ValueError where the folder's name is no profile.
    """
    readers: dict[str, list[str]] = {}
    for notebook, sizes in profiles.SIZES.items():
        if "study" in sizes:
            readers.setdefault(profiles.sizes(notebook, folder.name)["study"], []).append(notebook)
    source = folder / "records" if (folder / "records").is_dir() else DATA / "records"
    columns = ["study", "dataset", "device", "version"]
    files = [path for path in sorted(source.rglob("*.parquet")) if set(columns) <= set(parquet.read_schema(path).names)]
    every = pd.concat([pd.DataFrame(columns=columns), *(pd.read_parquet(path, columns=columns) for path in files)])
    rows = []
    for study, found in every[every.study.isin(readers)].groupby("study", sort=False):
        names = {f"{name}s": ", ".join(sorted(found[name].dropna().unique())) for name in columns[1:]}
        rows.append({"study": study, "notebooks": ", ".join(readers[study]), "records": f"{len(found):,}"} | names)
    return pd.DataFrame(sorted(rows, key=lambda row: row["notebooks"]))


def claims_table(cells: pd.DataFrame) -> str:
    """All claims as an interactive table, a column each of `cells`, which are HTML; `_datatables` must stand before it.

    A cell in <data value="..."> sorts by its value, which is a text; all others by what they show.
    """
    definitions = [{"name": name, "targets": i} for i, name in enumerate(cells)]
    definitions += [{"render": _script("order.js"), "createdCell": _script("label.js"), "targets": "_all"}]
    return to_html_datatable(cells, columnDefs=definitions, on={"init": _script("init.js")}, **_DATATABLES)


def rank(numbers: pd.Series, names: pd.Series) -> pd.Series:
    """Places in ascending order: by number, and after all numbers by name where there is none. Both are texts."""
    number = pd.to_numeric(numbers, errors="coerce")
    keys = pd.DataFrame({"number": number, "name": names.where(number.isna(), "")})
    return keys.groupby(list(keys), dropna=False).ngroup()


def _figure(path: Path, drawn: pd.DataFrame, table: pd.DataFrame) -> Figure:
    title, names = drawn.loc[path.stem, ["title", "claims"]] if path.stem in drawn.index else (path.stem, "")
    with Image.open(path) as image:
        return Figure(path.stem, title, *image.size, verdicts.shown(table.loc[names.split()]))


def _cells(table: pd.DataFrame, notebooks: Mapping[str, Page], macros) -> pd.DataFrame:
    """What `claims_table` shows: a row each claim. Numbers sort by `rank`, verdicts in the order of VERDICTS.

    table: `verdicts.join`; notebooks: those that have pages; macros: of cells.html.j2.
    """
    shown = verdicts.shown(table).join(table[["paper", "unit", "notebook", "why"]])
    printed, ours = map(macros.printed, shown.printed, shown.unit), map(macros.ours, shown.ours)
    places = {stem[:2]: f"notebooks/{stem}.html" for stem in notebooks}
    columns = {
        "id": map(macros.text, shown.index),
        "paper": map(macros.text, shown.paper),
        "where": map(macros.text, shown["where"]),
        "claim": map(macros.claim, shown.statement, shown.rule),
        "printed": map(macros.ordered, printed, rank(table.value, shown.printed)),
        "ours": map(macros.ordered, ours, rank(table.ours, shown.ours)),
    }
    for name in JUDGED:
        columns[name] = map(macros.ordered, map(macros.verdict, shown[name]), map(VERDICTS.index, shown[name]))
    columns["notebook"] = map(macros.notebook, shown.notebook, map(places.get, shown.notebook))
    columns["why not tested"] = map(macros.text, shown.why)
    return pd.DataFrame({name: map(str, cells) for name, cells in columns.items()}, index=table.index)


def _write_index(
    site: Path, environment: Environment, folder: Path, table: pd.DataFrame, notebooks: Mapping[str, Page]
) -> None:
    drawn = published.table("figures").fillna("").set_index("name")
    figures = [_figure(path, drawn, table) for path in sorted((folder / "figures").glob("*.png"))]
    cells = _cells(table, notebooks, environment.get_template("cells.html.j2").module)
    _write(
        site / "index.html",
        environment,
        "index.html.j2",
        root="",
        n_claims=len(table),
        counts=verdicts.counts(table),
        chain=next((figure for figure in figures if figure.name == CHAIN), None),
        records=records_of(folder),
        filters={"paper": list(table.paper.unique())} | dict.fromkeys(JUDGED, VERDICTS),
        datatables=_datatables(),
        claims=claims_table(cells),
        figures={stem: [figure for figure in figures if figure.name[:2] == stem[:2]] for stem in notebooks},
        notebooks=notebooks,
        deviations=verdicts.deviations(),
    )


def _write_notebooks(site: Path, environment: Environment, notebooks: Mapping[str, Page]) -> None:
    stems = list(notebooks)
    for stem, previous, following in zip(stems, [None, *stems[:-1]], [*stems[1:], None], strict=True):
        for name, image in notebooks[stem].images.items():
            (site / "notebooks" / name).parent.mkdir(parents=True, exist_ok=True)
            (site / "notebooks" / name).write_bytes(image)
        page = {"page": notebooks[stem], "previous": previous, "following": following, "notebooks": notebooks}
        _write(site / "notebooks" / f"{stem}.html", environment, "notebook.html.j2", root="../", **page)


def _write_files(site: Path, environment: Environment, linked: set[Path]) -> None:
    """Pages of linked files; of a linked folder also those of its files."""
    listed = {folder: pages.listing(ROOT / folder) for folder in linked if (ROOT / folder).is_dir()}
    files = linked | {folder / path for folder, paths in listed.items() for path in paths}
    for file in sorted(files):
        target = site / "files" / f"{file.as_posix()}.html"
        shown = {"paths": listed[file]} if file in listed else {"body": pages.show(ROOT / file)}
        root = "../" * len(target.relative_to(site).parents[1:])
        _write(target, environment, "file.html.j2", root=root, file=file, **shown)


def _write(path: Path, environment: Environment, template: str, **context: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment.get_template(template).render(**context), "utf-8")


def _environment(profile: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["profile"] = profile
    return environment


def _stylesheet() -> str:
    code = {scheme: HtmlFormatter(style=name).get_style_defs(".highlight") for scheme, name in STYLES.items()}
    own = (TEMPLATES / "style.css").read_text("utf-8")
    return f"{code['light']}\n@media (prefers-color-scheme: dark) {{\n{code['dark']}\n}}\n{own}"


def _datatables() -> str:
    """The script that brings itables' bundle of DataTables, and its styles, into the page."""
    script, end, _ = generate_init_offline_itables_html(dt_bundle).partition("</script>")
    return script + end


def _script(name: str) -> JavascriptFunction:
    return JavascriptFunction((TEMPLATES / name).read_text("utf-8"))
