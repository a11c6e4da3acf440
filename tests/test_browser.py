"""The replication report in a real browser: committed notebooks and figures, laid out as a run with made-up results."""

import re
import shutil
from itertools import cycle
from urllib.parse import unquote, urldefrag, urlsplit

import pandas as pd
import pytest
from headless import chromium, needs_chromium
from playwright.sync_api import expect

from gsos import claims, report, verdicts
from gsos.paths import ROOT

pytestmark = needs_chromium

SCHEMES = ("light", "dark")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
LOOK = """async () => {
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  return {
    n_images: document.images.length,
    unloaded: [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src),
    links: [...document.querySelectorAll("a[href], link[href]")].map((link) => link.href),
    ids: [...document.querySelectorAll("[id]")].map((element) => element.id),
  };
}"""
OVERFLOW = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
# Texts whose contrast with their ground is less than WCAG's AA has: 4.5, of large ones 3
FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (colours) => paint(colours).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (at) => at ? [...ground(at.parentElement), getComputedStyle(at).backgroundColor] : ["white"];
  const hasText = (at) => [...at.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const faint = [];
  for (const at of document.querySelectorAll("body *")) {
    if (!hasText(at) || !at.checkVisibility({ opacityProperty: true }) || at.closest(".disabled")) continue;
    const style = getComputedStyle(at), behind = ground(at);
    const [low, high] = [luminance([...behind, style.color]), luminance(behind)].sort((a, b) => a - b);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if ((high + 0.05) / (low + 0.05) < (large ? 3 : 4.5)) faint.push(at.outerHTML.slice(0, 90));
  }
  return faint;
}"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Verdicts go round; claims with numbers come out as a tenth of the printed one, claims with names reversed."""
    folder = tmp_path_factory.mktemp("runs") / "recorded"
    for kind in ("notebooks/*.ipynb", "figures/*.png"):
        for path in ROOT.glob(kind):
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.parent.name)
    (folder / "claims").mkdir()
    words = cycle(claims.VERDICTS)
    for notebook, rows in claims.load().groupby("notebook"):
        number = pd.to_numeric(rows.value, errors="coerce") / 10
        ours = number.astype(str).where(number.notna(), rows.value.str.split().str[::-1].str.join(" "))
        found = {"ours": ours, "low": number - 0.25, "high": number + 0.25, "n_records": 100, "n_datasets": 1}
        judged = [next(words) for _ in rows.index]
        frame = rows.assign(**found, verdict=judged).assign(**{"on these records": judged[::-1]})
        frame.to_csv(folder / "claims" / f"{notebook}_made_up.csv")
    return folder


@pytest.fixture(scope="module")
def site(run):
    return report.make(run).parent


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def seen(site, browser):
    """What each page of the site is like on a phone."""
    page = browser.new_page(viewport=PHONE)
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.on("request", lambda asked: wrong.append(asked.url) if urlsplit(asked.url).scheme.startswith("http") else None)
    found = {}
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        found[path] = page.evaluate(LOOK) | {"overflow": {}, "faint": {}}
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found[path]["overflow"][scheme] = page.evaluate(OVERFLOW)
            if path.parent.name != "published":  # those are alike
                found[path]["faint"][scheme] = page.evaluate(FAINT)
        found[path]["wrong"], wrong[:] = list(wrong), []
    page.close()
    assert len(found) > 30
    return found


@pytest.fixture
def index(site, browser):
    """The report's first page, with all claims on one page of the table."""
    page = browser.new_page(viewport=DESKTOP)
    page.goto((site / "index.html").as_uri())
    page.get_by_label("a page").select_option("-1")
    yield page
    page.close()


def column(page, name):
    return page.locator(f"#claims-table tbody td[data-label='{name}']").all_inner_texts()


def test_no_page_has_errors_or_asks_the_network(seen):
    assert not {path.name: page["wrong"] for path, page in seen.items() if page["wrong"]}


def test_every_image_loads(seen):
    assert not [image for page in seen.values() for image in page["unloaded"]]
    assert sum(page["n_images"] for page in seen.values()) > 70


def test_every_link_resolves(seen, site):
    ids = {path: set(page["ids"]) for path, page in seen.items()}
    for path, page in seen.items():
        for link in page["links"]:
            url, fragment = urldefrag(link)
            if url.startswith("https:"):
                continue  # the papers'
            target = site.__class__(unquote(urlsplit(url).path))
            assert target.is_file() and target.is_relative_to(site), f"{link} on {path}"
            assert not fragment or {fragment, unquote(fragment)} & ids[target], f"{link} on {path}"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_scrolls_sideways_on_a_phone(seen, scheme):
    assert not {path.name: page["overflow"][scheme] for path, page in seen.items() if page["overflow"][scheme] > 0}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_can_be_read(seen, scheme):
    faint = {path.name: page["faint"][scheme] for path, page in seen.items() if page["faint"].get(scheme)}
    assert not faint


def test_the_table_fits_a_desktop(index):
    assert index.evaluate(OVERFLOW) == 0


def test_filters_show_the_claims_they_name(index, run):
    table = verdicts.join(run)
    assert column(index, "id") == list(table.index)
    paper, verdict, here = (index.get_by_label(name, exact=True) for name in ("paper", "verdict", "on these records"))
    paper.select_option("GSOS")
    assert column(index, "id") == list(table.index[table.paper == "GSOS"])
    verdict.select_option("contradicted")
    expected = table[(table.paper == "GSOS") & (table.verdict == "contradicted")]
    assert column(index, "id") == list(expected.index) and len(expected) > 5
    here.select_option("partly")
    assert column(index, "id") == list(expected.index[expected["on these records"] == "partly"])
    for select in (paper, verdict, here):
        select.select_option("all")
    verdict.select_option("not tested")
    assert column(index, "id") == list(table.index[table.verdict == "not tested"])
    assert set(column(index, "verdict")) == {"not tested"}


def test_search_looks_into_every_column(index, run):
    table = verdicts.join(run)
    box = index.get_by_role("searchbox", name="Search")
    box.fill("Momentum")
    assert column(index, "id") == list(table.index[table.statement.str.contains("momentum", case=False)])
    box.fill("num_fc_units bottom-2")
    assert column(index, "id") == ["HIA-08"]
    box.fill("no such words")
    assert index.get_by_text("No claim is like that.").is_visible()


def in_order(values):
    """Numbers first, then names, then nothing; the table keeps the order of what is equal."""
    number = pd.to_numeric(values, errors="coerce")
    return sorted(values.index, key=lambda i: (values[i] == "", number.isna()[i], number.fillna(0)[i], values[i]))


def test_headings_sort(index, run):
    table = verdicts.join(run)
    expected = {
        "printed": in_order(table.value),
        "ours": in_order(table.ours),
        "verdict": sorted(table.index, key=lambda i: claims.VERDICTS.index(table.verdict[i])),
        "notebook": sorted(table.index, key=lambda i: table.notebook[i]),
        "id": sorted(table.index),
    }
    for name, ids in expected.items():
        heading = index.locator("#claims-table").get_by_role("columnheader", name=re.compile(f"^{name}"))
        heading.click()
        expect(heading).to_have_attribute("aria-sort", "ascending")
        assert column(index, "id") == ids, name


def test_everything_is_reached_with_the_keyboard(index):
    """From the skip link on; each stop shows that it has the focus."""
    stops = []
    for _ in range(40):
        index.keyboard.press("Tab")
        stops.append(index.evaluate("""() => {
          const at = document.activeElement, name = at.labels?.length ? at.labels[0] : at;
          return [at.tagName, (at.getAttribute("aria-label") || name.innerText).split(/[:\\n]/)[0].trim().toLowerCase(),
                  getComputedStyle(at).outlineStyle];
        }"""))  # fmt: skip
    assert stops[0][1] == "skip to the content"
    assert {style for *_, style in stops} == {"solid"}
    assert [name for tag, name, _ in stops if tag in ("SELECT", "INPUT")] == [
        *("paper", "verdict", "on these records", "search", "a page"),
    ]
    headings = [name for tag, name, _ in stops if tag == "SPAN"]
    assert headings == [
        "id",
        "paper",
        "where",
        "claim",
        "printed",
        "ours",
        *report.JUDGED,
        "notebook",
        "why not tested",
    ]


def test_enter_and_space_sort(index):
    heading = index.locator("#claims-table").get_by_role("columnheader", name=re.compile("^verdict"))
    heading.get_by_role("button").focus()
    for key, state, first in (("Enter", "ascending", "reproduced"), (" ", "descending", "not tested")):
        before = index.evaluate("scrollY")
        index.keyboard.press(key)
        expect(heading).to_have_attribute("aria-sort", state)
        assert column(index, "verdict")[0] == first
        assert index.evaluate("scrollY") == before


def test_a_phone_shows_a_card_a_claim(site, browser):
    page = browser.new_page(viewport=PHONE)
    page.goto((site / "index.html").as_uri())
    first = page.locator("#claims-table tbody tr").first
    for cell in first.locator("td:visible").all():
        box = cell.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    heading, name = page.locator("#claims-table thead"), first.locator("td").first
    assert name.bounding_box()["y"] > heading.bounding_box()["y"] + heading.bounding_box()["height"]
    assert name.evaluate("cell => getComputedStyle(cell, '::before').content") == '"id"'
    page.close()
