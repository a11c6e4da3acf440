"""The replication report, of a small run made here: two notebooks, two figures, the claims of one notebook."""

import base64
import io
import json
import re
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from typer.testing import CliRunner

from gsos import claims, cli, notebooks, pages, paths, published, report
from gsos.paths import DATA, ROOT

PROSE = r"""# 02 · Small: a < b

The weight $W_m \le 1$ of [claims](../gsos/claims.py), of [tables](../data/published),
[the next](03_next.ipynb#What-came-out), [one that has not run](04_absent.ipynb), [nothing](../nowhere.py),
[its records](../data/records/hia/quick.parquet) and [elsewhere](https://example.org/).

$$\theta^* = \arg\min_\theta f(\theta)$$
"""
TABLE = pd.DataFrame({"share": [0.25]}, index=["lr"]).to_html()


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), colour).save(buffer, "png")
    return buffer.getvalue()


def notebook(*cells):
    return new_notebook(cells=list(cells), metadata={"language_info": {"name": "python"}})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run. Its results: HIA-05 is right, HIA-10 is 0.25 with an interval, and nothing else is known."""
    folder = tmp_path_factory.mktemp("runs") / "recorded"
    for name in ("notebooks", "figures", "claims"):
        (folder / name).mkdir(parents=True)
    image = new_output("display_data", {"image/png": base64.b64encode(png("red")).decode()})
    shown = [
        new_output("display_data", {"text/html": TABLE}),
        new_output("display_data", {"text/latex": r"$\frac{1}{2}$"}),
    ]
    small = notebook(
        new_markdown_cell(PROSE),
        new_code_cell('figures.save(figure, OUT, "02_hia_table_3")', outputs=[image], execution_count=1),
        new_code_cell("secret = 1", outputs=shown, execution_count=2),
        new_code_cell(
            "Markdown(said)", outputs=[new_output("execute_result", {"text/markdown": "**Finding.** $N_p$"})]
        ),
    )
    nbformat.write(small, folder / "notebooks" / "02_small.ipynb")
    following = notebook(new_markdown_cell("# 03 · Next"), new_markdown_cell("## What came out\n\nNothing."))
    nbformat.write(following, folder / "notebooks" / "03_next.ipynb")
    for name, colour in {"02_hia_table_3": "red", "02_new": "blue"}.items():
        (folder / "figures" / f"{name}.png").write_bytes(png(colour))
    found = {
        "HIA-05": claims.Result(published.table("hia_table_3").name.tolist(), 6000, 6),
        "HIA-10": claims.Result(0.25, 600, 2, 0.2, 0.3),
    }
    claims.judge("02", found).to_csv(folder / "claims" / "02_importance.csv")
    return folder


@pytest.fixture(scope="module")
def site(run):
    return report.make(run).parent


def soup(path):
    return BeautifulSoup(path.read_text(), "html.parser")


def claim_rows(site):
    """What the table of claims is given, by id: the cells' texts, and those of its HTML that a reader does not see."""
    (data,) = re.findall(r'"data_json": (".*"),?\n', (site / "index.html").read_text())
    cells = [[BeautifulSoup(cell, "html.parser") for cell in row] for row in json.loads(json.loads(data))]
    return {row[0].text: row for row in cells}


def test_every_claim_is_in_the_table(site):
    rows = claim_rows(site)
    assert list(rows) == list(claims.load().index)
    texts = {name: [cell.text for cell in row] for name, row in rows.items()}
    right = "num_conv_layers lr dropout_rate"
    where, statement = claims.load().loc["HIA-05", ["where", "statement"]]
    expected = ["HIA-05", "HIA", where, f"{statement} rule: top-3", right, right, "reproduced", "reproduced", "02", ""]
    assert texts["HIA-05"] == expected
    assert texts["HIA-10"][4:] == [
        *("0.3853 share", "0.25 [0.2, 0.3]", "not tested", "partly", "02"),
        "600 records of 2 datasets; needs 5,000 of 5",
    ]
    assert texts["GSOS-05"][5:] == ["", "not tested", "not tested", "04", "notebook 04 has not run"]
    assert rows["HIA-10"][8].a["href"] == "notebooks/02_small.html" and rows["GSOS-05"][8].a is None


def test_counts_are_those_of_the_claims(site):
    table = soup(site / "index.html").select_one("table.counts")
    heads = [cell.text for cell in table.select("thead th")]
    counts = {
        row.th.text: dict(zip(heads, [int(cell.text) for cell in row("td")], strict=True)) for row in table("tr")[1:]
    }
    assert counts["reproduced"] == {"HIA": 1, "GSOS": 0, "HGD": 0, "all": 1}
    of_papers = claims.load().paper.value_counts()
    everything = {"HIA": of_papers.HIA - 1, "GSOS": of_papers.GSOS, "HGD": of_papers.HGD}
    everything["all"] = of_papers.sum() - 1
    assert counts["not tested"] == everything


def test_a_figure_stands_beside_its_claims(site):
    index = soup(site / "index.html")
    card = index.find(id="02_hia_table_3")
    row = published.table("figures").set_index("name").loc["02_hia_table_3"]
    assert card.figcaption.text == card.img["alt"] == row.title
    assert (card.img["width"], card.img["height"]) == ("30", "20")
    assert [cell.b.text for cell in card.select("tbody td:first-child")] == row.claims.split()
    first, second, third, fourth = (cell.text for cell in card.select_one("tbody tr")("td"))
    assert (second, third, fourth) == ("num_conv_layers lr dropout_rate",) * 2 + ("reproduced",)
    unknown = index.find(id="02_new")  # a figure that nobody has described yet
    assert unknown.figcaption.text == "02_new" and unknown.table is None


def test_a_notebook_is_rendered(site):
    page = soup(site / "notebooks" / "02_small.html")
    assert page.html["lang"] == "en" and page.title.text == "02 · Small: a < b"
    assert [heading.contents[0] for heading in page("h1")] == ["02 · Small: a < b"]
    folded = [details.text for details in page("details")]
    assert (
        len(folded) == 3 and "secret" in folded[1] and not any(details.has_attr("open") for details in page("details"))
    )
    table = page.select_one("table.dataframe")
    assert table.find_parent("details") is None and table.td.text == "0.25"
    title = published.table("figures").set_index("name").title["02_hia_table_3"]
    image = page.img
    assert image["alt"] == title and (site / "notebooks" / image["src"]).read_bytes() == png("red")
    assert page.find("a", rel="next")["href"] == "03_next.html" and page.find("a", rel="prev") is None


def test_formulas_are_mathml(site):
    page = soup(site / "notebooks" / "02_small.html")
    formulas = page("math")
    assert [formula["display"] for formula in formulas] == ["inline", "block", "block", "inline"]
    assert "".join(formulas[0].text.split()) == "Wm≤1"
    assert [formula.find_parent("p") is not None for formula in formulas] == [True, True, False, True]
    assert formulas[2].mfrac.text == "12" and "$" not in page.article.text
    assert [operator.text for operator in formulas[1]("mo")][:4] == ["*", "=", "arg", "min"]


def test_links_lead_into_the_site(site):
    article = soup(site / "notebooks" / "02_small.html").article
    links = {link.text: link["href"] for link in article("a") if link.text != "¶"}
    assert links == {
        "claims": "../files/gsos/claims.py.html",
        "tables": "../files/data/published.html",
        "the next": "03_next.html#What-came-out",
        "elsewhere": "https://example.org/",
    }
    assert all(words in article.text for words in ("one that has not run", "nothing", "its records"))
    assert "def verdict(" in soup(site / "files" / "gsos" / "claims.py.html").pre.text
    listed = [link.text for link in soup(site / "files" / "data" / "published.html").select("main li a")]
    assert listed == sorted(path.name for path in (DATA / "published").iterdir())
    rows = soup(site / "files" / "data" / "published" / "hia_figure_2.csv.html").table("tr")
    lines = [",".join(cell.text for cell in row(["th", "td"])) for row in rows]
    assert lines == (DATA / "published" / "hia_figure_2.csv").read_text().splitlines()


def test_every_link_resolves(site):
    pages_of_site = {path: soup(path) for path in site.rglob("*.html")}
    for path, page in pages_of_site.items():
        for element in page.select("[href], [src]"):
            url = element.get("href") or element["src"]
            if re.match(r"https?:|data:", url):
                continue
            file, fragment = urldefrag(url)
            target = (path.parent / unquote(file)).resolve() if file else path
            assert target.is_file() and target.is_relative_to(site), f"{url} on {path}"
            assert not fragment or pages_of_site[target].find(id=[fragment, unquote(fragment)]), f"{url} on {path}"


def test_the_same_run_gives_the_same_bytes_and_knows_no_place(run, site):
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    (site / "notebooks" / "01_of_an_earlier_run.html").touch()
    report.make(run)
    assert before == {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert not [path for path, text in before.items() if str(run).encode() in text or str(ROOT).encode() in text]


def test_records_are_counted():
    committed = pd.read_parquet(DATA / "records" / "hia" / "semeion.parquet")
    found = report.records_of(Path("runs") / "recorded").set_index("study").loc["hia-workstation"]
    assert found.tolist()[:2] == ["01, 02", "8,000"] and "semeion" in found.iloc[2]
    assert found.tolist()[3:] == ["cpu", committed.version[0]]


def test_records_of_the_run_itself(tmp_path):
    (tmp_path / "smoke" / "records").mkdir(parents=True)
    frame = pd.DataFrame(
        {"study": ["hia-smoke"] * 3 + ["other"], "dataset": list("baac"), "device": "cpu", "version": "1"}
    )
    frame.to_parquet(tmp_path / "smoke" / "records" / "hia.parquet")
    pd.DataFrame({"table": ["a"]}).to_parquet(tmp_path / "smoke" / "records" / "judges.parquet")
    found = report.records_of(tmp_path / "smoke").set_index("study")
    assert found.loc["hia-smoke"].tolist() == ["01, 02", "3", "a, b", "cpu", "1"] and len(found) == 1


def test_numbers_come_before_names():
    values = pd.Series(["10", "lr epoch", "-0.5", "", "9.5", "epoch", "9.5"])
    places = report.rank(values, values)
    assert places[values != ""].tolist() == [2, 5, 0, 1, 4, 1] and places[3] == 3


@pytest.mark.parametrize("path", notebooks.find([]), ids=lambda path: path.stem)
def test_all_that_the_notebooks_link_to_and_write_can_be_shown(path):
    """Every formula is one that latex2mathml knows: of an unknown command it leaves the backslash."""
    links = pages.Links(other.stem for other in notebooks.find([]))
    titles = published.table("figures").set_index("name").title.to_dict()
    body = BeautifulSoup(pages.render(path, titles, pages.exporter(links)).body, "html.parser")
    assert not [formula for formula in body("math") if "\\" in formula.text]
    cells = nbformat.read(path, as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "markdown"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    sources += [data["text/markdown"] for data in outputs if "text/markdown" in data]
    n_links = sum(len(re.findall(r"\]\(\S+\)", source)) for source in sources)
    assert len([link for link in body("a") if link.text != "¶"]) == n_links
    levels = [int(heading.name[1]) for heading in body(["h1", "h2", "h3", "h4"])]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all(image["alt"] in titles.values() for image in body("img"))


def test_every_figure_has_its_row_and_every_row_its_figure():
    table = published.table("figures").fillna("")
    made = {path.stem for path in (ROOT / "figures").glob("*.png")}
    assert table.name.is_unique
    assert made <= set(table.name) and {name for name in set(table.name) - made if not name.startswith("08_")} == set()
    assert set(" ".join(table.claims).split()) <= set(claims.load().index)
    assert (table.title.str.len() > 20).all()


def test_a_run_without_notebooks_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no executed notebooks: `gsos run --profile smoke` makes them"):
        report.make(tmp_path / "smoke")


@pytest.mark.parametrize(
    ("profile", "message"), [("quik", "there is no profile 'quik'"), ("smoke", "smoke has no executed notebooks")]
)
def test_the_command_names_what_is_wrong(profile, message, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    done = CliRunner().invoke(cli.app, ["report", "--profile", profile])
    assert done.exit_code == 1 and message in done.output


def test_the_command_prints_the_path(run, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", run.parent)
    done = CliRunner().invoke(cli.app, ["report", "--profile", "recorded"])
    assert done.exit_code == 0 and done.output.strip() == str(run / "report" / "index.html")


def test_a_run_of_all_notebooks_ends_with_the_report(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "smoke.yaml").write_text("PROFILE: smoke\n")
    cells = new_code_cell('PROFILE = "recorded"', metadata={"tags": ["parameters"]}), new_markdown_cell("# 02 · Small")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), folder / "02_small.ipynb")
    monkeypatch.setattr(notebooks, "FOLDER", folder)
    monkeypatch.setattr(notebooks, "RUNS", tmp_path / "runs")
    index = tmp_path / "runs" / "smoke" / "report" / "index.html"
    done = CliRunner().invoke(cli.app, ["run", "02", "--profile", "smoke"])
    assert done.exit_code == 0 and not index.exists(), done.output
    done = CliRunner().invoke(cli.app, ["run", "--profile", "smoke"])
    assert done.exit_code == 0 and "report/index.html" in done.output, done.output
    assert soup(index).select_one(".notebooks a").text == "02 · Small"
