"""Trials of anybody's: read, chosen, and judged from the command line."""

import sqlite3

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from test_guess import N, own_trials
from typer.testing import CliRunner

from gsos import figures_hia, trials
from gsos.cli import app
from gsos.importance import JUDGES
from gsos.trials import Trials, choose, read


def objective(trial):
    x = trial.suggest_float("x", 1e-4, 10, log=True)
    depth = trial.suggest_categorical("depth", [None, 3, 10])  # a frame would take None for missing
    trial.suggest_categorical("batch", [128, 32, 64])
    if trial.suggest_categorical("bias", [True, False]):
        trial.suggest_int("k", 1, 100, log=True)
    if trial.number % 5 == 4:
        raise optuna.TrialPruned
    return np.log(x) ** 2 + (depth is None)


@pytest.fixture(scope="module", params=["journal", "sqlite"])
def storage(request, tmp_path_factory):
    """Where two studies are: `down` is to be minimised, `up` maximised."""
    folder = tmp_path_factory.mktemp("optuna")
    source = folder / "trials.log" if request.param == "journal" else f"sqlite:///{folder}/trials.db"
    journal = request.param == "journal"
    opened = JournalStorage(JournalFileBackend(str(source))) if journal else source
    for name, direction in (("down", "minimize"), ("up", "maximize")):
        sampler = optuna.samplers.RandomSampler(seed=0)
        optuna.create_study(storage=opened, study_name=name, direction=direction, sampler=sampler).optimize(
            objective, 25
        )
    return str(source)


def importance(*arguments):
    return CliRunner().invoke(app, ["importance", *map(str, arguments)])


# Reading


def test_tables_come_back(tmp_path):
    frame = own_trials()
    frame.to_csv(tmp_path / "own.CSV", index=False)
    frame.to_parquet(tmp_path / "own.parquet")
    for name in ("own.CSV", "own.parquet"):
        found = read(tmp_path / name)
        pd.testing.assert_frame_equal(found.frame, frame, check_dtype=False)
        assert found[1:] == (None, True, {})


def test_a_study_is_read_as_it_is(storage):
    before = open(storage.removeprefix("sqlite:///"), "rb").read()
    found = read(storage, "down")
    assert not found.maximise and found.performance == "value" and read(storage, "up").maximise
    assert len(found.frame) == 20 and found.frame.notna().all()[["x", "depth", "batch", "bias", "value"]].all()
    assert set(found.frame.depth) == {"None", "3", "10"}
    assert found.space == {
        "x": FloatDistribution(1e-4, 10, log=True),
        "depth": CategoricalDistribution(["None", "3", "10"]),
        "batch": CategoricalDistribution([32, 64, 128]),  # levels in their order
        "bias": CategoricalDistribution(["True", "False"]),
        "k": IntDistribution(1, 100, log=True),
    }
    with pytest.raises(ValueError, match="trials.*: the storage holds several studies, choose one with --study: down"):
        read(storage)
    with pytest.raises(ValueError, match="there is no study 'x'; there are down, up"):
        read(storage, "x")
    assert open(storage.removeprefix("sqlite:///"), "rb").read() == before


def test_parameters_of_some_trials_are_left_out_unless_named(storage):
    found = read(storage, "down")
    n = int(found.frame.k.notna().sum())
    chosen = choose(found)
    assert list(chosen.space) == ["x", "depth", "batch", "bias"] and len(chosen.frame) == 20
    assert f"k left out: it has no value in {20 - n} of 20 rows; with --columns, only the others are used" in (
        chosen.messages
    )
    chosen = choose(found, columns=["x", "k"])
    assert list(chosen.space) == ["x", "k"] and len(chosen.frame) == n
    assert f"{n} rows used, {20 - n} left out for want of a value: k ({20 - n})" in chosen.messages


def test_lower_is_better_where_the_study_says_so(storage):
    found = read(storage, "down")
    assert choose(found).frame.value.tolist() == (-found.frame.value).tolist()
    assert choose(found, maximise=True).frame.value.tolist() == found.frame.value.tolist()
    assert choose(read(storage, "up")).frame.value.min() >= 0


def test_a_range_that_changed_while_a_study_ran(tmp_path):
    source = tmp_path / "trials.log"
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(source))))
    for high in (10, 1000):
        study.optimize(lambda trial, high=high: trial.suggest_int("n", 1, high, log=True), n_trials=5)
    assert read(source).space == {"n": IntDistribution(1, 1000, log=True)}


def test_a_parameter_may_be_called_value(tmp_path):
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/t.db")
    study.optimize(lambda trial: 2 * trial.suggest_float("value", 0, 1), n_trials=3)
    found = read(f"sqlite:///{tmp_path}/t.db")
    assert (found.frame[found.performance] == 2 * found.frame["value"]).all()


# The command


def test_the_command_ranks_and_writes(tmp_path):
    frame = own_trials(320).assign(run=[f"run {i}" for i in range(320)], trial=range(320))
    frame["beta"] = np.where(frame.optimizer == "adam", 0.9, np.nan)
    frame.loc[[3, 7], "accuracy"] = np.nan, np.inf
    frame.to_csv(tmp_path / "own.csv", index=False)
    done = importance(tmp_path / "own.csv", "--performance", "accuracy", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    for line in (
        "320 rows, 2 without a finite accuracy left out",
        "every column but accuracy is a hyperparameter, unless --columns names these",
        "run left out: an identifier: 318 different texts in 318 rows",
        "trial left out: a counter: it rises with every row",
        f"calibrated    {JUDGES['calibrated'].title}: total effect; above chance",
        f"fanova-total  {JUDGES['fanova-total'].title}: total effect; forest's R2 out of bag",
        f"In {tmp_path / 'out'}: importance.csv, importance.png, importance.svg",
    ):
        assert line in done.output
    types, shares = done.output.split("Shares of importance")
    assert "float" in types and " log " in types.split("\nlr")[1].split("\n")[0]
    ranking = [line.split()[0] for line in shares.strip().split("\n\n")[0].splitlines()[3:]]
    assert ranking[:2] == ["lr", "dropout"] and set(ranking[2:]) == {"optimizer", "batch_size"}
    table = pd.read_csv(tmp_path / "out" / "importance.csv", index_col=["judge", "hyperparameter"])
    assert table.share["calibrated"].sum() == pytest.approx(1) and table.share["fanova-total", "lr"] > 0.8
    assert all((tmp_path / "out" / f"importance.{suffix}").stat().st_size > 1000 for suffix in ("png", "svg"))


def test_the_command_takes_columns_types_and_judges(tmp_path):
    own_trials(25).to_parquet(tmp_path / "own.parquet")
    options = ["--columns", "lr,dropout", "--columns", "batch_size,lr", "--categorical", "batch_size", "--linear", "lr"]
    done = importance(
        tmp_path / "own.parquet", "--performance", "accuracy", *options, "--judge", "all", "--out", tmp_path
    )
    assert done.exit_code == 0, done.output
    assert "judges that look at neighbours look at 24, not 30" in done.output and "every column" not in done.output
    assert set(pd.read_csv(tmp_path / "importance.csv").judge) == set(JUDGES)
    assert done.output.count("as you say") == 2 and "optimizer" not in done.output


def test_the_command_reads_a_study(storage, tmp_path):
    done = importance(storage, "--study", "down", "--judge", "ped-anova", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "k left out: it has no value in" in done.output and done.output.count("as in the study") == 4
    assert pd.read_csv(tmp_path / "importance.csv").set_index("hyperparameter").share.idxmax() == "x"


def test_judges_that_can_say_nothing_are_named(tmp_path):
    own_trials()[["lr", "accuracy"]].to_csv(tmp_path / "own.csv", index=False)
    options = [tmp_path / "own.csv", "--performance", "accuracy", "--out", tmp_path, "--judge", "calibrated"]
    done = importance(*options, "--judge", "correlation-ratio")
    assert done.exit_code == 0 and done.stderr.startswith("gsos: calibrated can say nothing: 1 of 1 hyperparam")
    assert pd.read_csv(tmp_path / "importance.csv").judge.tolist() == ["correlation-ratio"]
    done = importance(*options)
    assert done.exit_code == 1 and done.stderr.startswith("gsos: calibrated can say nothing: 1 of 1 hyperparam")


def test_what_a_judge_warns_of_is_its_remark():
    frame = own_trials().assign(accuracy=lambda f: 1000 * f.accuracy)
    found, failed = trials.ask(choose(Trials(frame, None, True, {}), "accuracy"), ["nrrelieff"])
    assert not failed and "Eq 10 changes its sign" in found["nrrelieff"].remark


def test_two_judges_that_suit_the_trials():
    def chosen(n, **changes):
        return choose(Trials(own_trials(n).assign(**changes), None, True, {}), "accuracy")

    assert trials.pick_judges([], chosen(300)) == ["fanova-total", "calibrated"]
    assert trials.pick_judges([], chosen(299)) == ["fanova-total", "fanova"]
    assert trials.pick_judges([], chosen(300), of_a_study=True) == ["fanova-total", "fanova"]
    only_lr = chosen(300, dropout=0.1, optimizer="sgd", batch_size=32)
    assert trials.pick_judges([], only_lr) == ["fanova-total", "fanova"]
    assert trials.pick_judges(["fanova", "fanova"], only_lr) == ["fanova"]
    assert trials.pick_judges(["all"], only_lr) == [*JUDGES]


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    frame = own_trials().assign(same=1.0, run=[f"run {i}" for i in range(N)])
    frame.to_csv(folder / "own.csv", index=False)
    frame[:1].to_csv(folder / "one.csv", index=False)
    frame[:5].to_csv(folder / "five.csv", index=False)
    frame[:0].to_csv(folder / "header.csv", index=False)
    frame.assign(accuracy=np.nan).to_csv(folder / "failed.csv", index=False)
    frame.assign(a=[1.0, np.nan] * 30, b=[np.nan, 1.0] * 30).to_csv(folder / "never.csv", index=False)
    frame.to_parquet(folder / "own.parquet")
    (folder / "cut.parquet").write_bytes((folder / "own.parquet").read_bytes()[:500])
    (folder / "binary.csv").write_bytes((folder / "own.parquet").read_bytes()[:500])
    (folder / "none.csv").touch()
    (folder / "own.txt").write_text("lr\n")
    (folder / "broken.log").write_text('{"op_code":0\n{"op_code":0}\n')
    with sqlite3.connect(folder / "other.db") as database:
        database.execute("create table t (a)")
    optuna.create_study(storage=f"sqlite:///{folder}/empty.db", study_name="s")
    optuna.create_study(storage=f"sqlite:///{folder}/two.db", study_name="s", directions=["minimize", "maximize"])
    return folder


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("nowhere.csv", "nowhere.csv: there is no such file"),
        ("header.csv", "header.csv: the table is empty"),
        ("none.csv", "none.csv: cannot be read: No columns"),
        ("binary.csv", "binary.csv: cannot be read: "),
        ("cut.parquet", "cut.parquet: cannot be read: "),
        ("own.txt", "own.txt: .txt is not known; give .csv, .parquet, an Optuna journal file, or a database's URL"),
        ("broken.log", "broken.log: cannot be read: "),
        ("sqlite:///nowhere.db", "sqlite:///nowhere.db: there is no such file"),
        ("sqlite:///other.db", "other.db: cannot be read: (sqlite3.OperationalError) no such table"),
        ("sqlite:///empty.db", "empty.db: study 's' has no complete trials"),
        ("sqlite:///two.db", "two.db: study 's' has 2 objectives"),
        ("nosuch://host/db", "nosuch://host/db: cannot be read: "),
        ("own.csv", "--performance must name a column; there are lr, dropout"),
        ("own.csv --study s", "study 's' was asked for, but this is no Optuna storage"),
        ("own.csv --performance loss", "there is no column 'loss'; there are lr, dropout"),
        ("own.csv --performance optimizer", "performance 'optimizer' must hold numbers, not '"),
        ("own.csv --performance same", "same is the same in all 60 rows"),
        ("one.csv --performance accuracy", "accuracy is the same in all 1 rows"),
        ("failed.csv --performance accuracy", "accuracy is not finite in any of 60 rows"),
        (
            "never.csv --performance accuracy --columns a,b",
            "no row has all of the hyperparameters; rows without: a (30",
        ),
        ("own.csv --performance accuracy --columns lr,z", "'z' cannot be a hyperparameter; there are lr, dropout"),
        ("own.csv --performance accuracy --columns accuracy", "'accuracy' cannot be a hyperparameter"),
        ("own.csv --performance accuracy --columns run", "no hyperparameters; run left out: an identifier"),
        ("own.csv --performance accuracy --log z", "--log z: there is no such hyperparameter"),
        ("own.csv --performance accuracy --log lr --linear lr", "lr cannot be both log and linear"),
        ("own.csv --performance accuracy --judge oracle", "there is no judge 'oracle'; there are nrrelieff-raw"),
        ("own.csv --performance accuracy --judge correlation-ratio --out own.csv", "File exists: 'own.csv'"),
        ("five.csv --performance accuracy", "fanova-total can say nothing: the number of rows of X must be at least 8"),
    ],
)
def test_errors_take_one_line(odd_files, monkeypatch, arguments, message):
    monkeypatch.chdir(odd_files)
    done = importance(*arguments.split())
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.exception
    assert done.stderr.startswith("gsos: ") and done.stderr.count("\n") == 1 and message in done.stderr, done.stderr
    assert not (odd_files / "nowhere.db").exists()


def test_bars_are_drawn_one_a_judge():
    shares = pd.DataFrame({"a": [0.7, 0.3], "b": [0.4, 0.6]}, index=["lr", "epoch"])
    figure = figures_hia.importance_bars(shares, {"a": "A: main effect", "b": "B: total effect"})
    (ax,) = figure.axes
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.3, 0.4, 0.6]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["lr", "epoch"]
    assert ax.get_xlabel() == "share of importance" and ax.yaxis_inverted()
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["A: main effect", "B: total effect", "equal shares, 1/2"]
    assert list(ax.lines[0].get_xdata()) == [0.5, 0.5]
    plt.close(figure)


def test_numbers_told_to_be_categories_are_names_not_levels():
    frame = own_trials().assign(kernel=[3, 5] * (N // 2))
    chosen = choose(Trials(frame, None, True, {}), "accuracy", categorical=["kernel"])
    assert chosen.space["kernel"] == CategoricalDistribution(["3", "5"])  # names, not levels
    assert chosen.guesses["kernel"].why == "as you say"
