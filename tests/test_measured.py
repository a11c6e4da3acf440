"""Committed measurements are whole and say where they come from; every other profile measures and writes its own."""

import numpy as np
import pandas as pd
import pytest

from gsos import measured, overhead, profiles, records, step_time
from gsos.paths import DATA

PROVENANCE = {"cpu": "str", "cores": "int64", "version": "str", "finished": "str"}
RUN = {"peer": "str", "d": "int64", "n_trials": "int64", "repeat": "int64", "tpe": "float64", "iter": "float64"}
COLUMNS = {
    "alone": RUN,
    "paused": RUN,
    "growth": {"peer": "str", "d": "int64", "n_told": "int64", "seconds": "float64"},
}
OF_STEPS = {"SGD": "float64", "HGD": "float64"}
OF_FORMS = {"name": "str", "epoch": "int64", "images": "int64"}
OF_FORMS |= dict.fromkeys(("loss", "validation_accuracy", "lr", "momentum"), "float64")


@pytest.fixture(scope="module")
def committed():
    return measured.overhead_records("recorded", profiles.sizes("05", "recorded"))


@pytest.mark.parametrize("name", COLUMNS)
def test_committed_measurements_say_where_they_come_from(committed, name):
    frame = getattr(committed, name)
    assert frame.dtypes.astype(str).to_dict() == COLUMNS[name] | PROVENANCE
    assert frame.notna().all(axis=None) and (frame[[c for c in frame if frame[c].dtype == float]] > 0).all(axis=None)
    assert (frame.cpu != "").all() and (frame.cores > 0).all()
    assert frame.version.str.fullmatch(r"gsos [\d.]+, hyperopt [\d.]+, optuna [\d.]+, python [\d.]+").all()
    assert pd.to_datetime(frame.finished).dt.tz is not None
    made = frame.iloc[0]
    told = measured.where_measured(frame)
    assert all(str(part) in told for part in (made.cpu, made.cores, made.version, made.finished[:10]))


def test_committed_measurements_are_whole(committed):
    runs = committed.alone.groupby(["peer", "d"])["repeat"]
    assert runs.size().unstack().to_dict("index") == {
        "gsos": dict.fromkeys(range(1, 13), 20),
        "gsos plain": dict.fromkeys(range(1, 13), 20),
        "hyperopt": dict.fromkeys(range(1, 13), 10),
        "optuna": dict.fromkeys(range(1, 13), 10),
    }
    assert (committed.alone.n_trials == 100).all() and (committed.paused.n_trials == 100).all()  # GSOS A
    paused = committed.paused["iter"] - committed.paused.tpe
    assert paused.between(100 * 0.01, 1.1).all()  # no pause ends early
    assert committed.growth.n_told.drop_duplicates().tolist() == [30, 100, 300, 1000]


def test_committed_measurements_bear_out_what_notebook_05_claims(committed):
    least = committed.alone.groupby(["d", "peer"]).tpe.min().unstack()
    assert (least.loc[12] < 12 * least.loc[1]).all()  # less than in proportion
    assert (least.loc[12] > least.loc[1]).all()
    assert (least["gsos"] < least[["hyperopt", "optuna"]].min(axis=1) / 4).all()
    growth = committed.growth.pivot(index="n_told", columns="peer", values="seconds")
    assert (growth.loc[1000] < growth.loc[30] * 1000 / 30).all() and (growth.diff().iloc[1:] > 0).all(axis=None)


def test_every_other_profile_measures(tmp_path, monkeypatch):
    def timed(peer, d, n_trials, *, seed, delay=0.0, n_startup=15):
        return overhead.Seconds(np.full(n_trials, d / 8), np.full(n_trials, delay))

    monkeypatch.setattr(measured, "RUNS", tmp_path)
    monkeypatch.setattr(overhead, "time_trials", timed)
    size = {"n_trials": 2, "dimensions": (3,), "n_repeats": 1, "n_told": (20, 40)}
    found = measured.overhead_records("smoke", size, seed=1)
    every, some = list(range(1, 13)), [1, 3, 12]
    assert {name: rows.d.tolist() for name, rows in found.alone.groupby("peer")} == {
        "gsos": 2 * every,
        "gsos plain": 2 * every,
        "hyperopt": some,
        "optuna": some,
    }
    assert {name: rows.d.tolist() for name, rows in found.paused.groupby("peer")} == {
        "gsos": every,
        "hyperopt": some,
        "optuna": some,
    }
    assert (found.alone.tpe == found.alone.d / 4).all() and (found.alone["iter"] == found.alone.tpe).all()
    assert (found.paused["iter"] == found.paused.tpe + 2 * 0.01).all()  # GSOS A's pause
    assert found.growth[["n_told", "seconds"]].to_numpy().tolist() == 4 * [[20, 1.5], [40, 1.5]]
    for name, columns in COLUMNS.items():
        frame = getattr(found, name)
        assert frame.dtypes.astype(str).to_dict() == columns | PROVENANCE
        written = pd.read_parquet(tmp_path / "smoke" / "records" / "overhead" / f"{name}.parquet")
        pd.testing.assert_frame_equal(written, frame)


def check(frame, columns):
    assert frame.dtypes.astype(str).to_dict() == columns | PROVENANCE
    assert (frame.cpu != "").all() and (frame.cores > 0).all()
    assert frame.version.str.fullmatch(r"gsos [\d.]+, torch [\d.]+(\+\w+)?, python [\d.]+").all()
    assert pd.to_datetime(frame.finished).dt.tz is not None


def test_committed_steps_bear_out_what_notebook_06_claims():
    steps = measured.step_records("recorded")
    check(steps.training, OF_STEPS)
    check(steps.updates, {"parameters": "int64"} | OF_STEPS)
    assert (steps.training[["SGD", "HGD"]] > 0).all(axis=None) and (steps.updates[["SGD", "HGD"]] > 0).all(axis=None)
    assert len(steps.training) == 1 and steps.training.HGD[0] < 1.2 * steps.training.SGD[0]  # HGD-08
    slopes = step_time.slopes(steps.updates.set_index("parameters")[["SGD", "HGD"]])
    assert slopes.HGD - slopes.SGD < 0.1  # HGD-09


def test_committed_curves_are_what_training_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "RUNS", tmp_path)
    committed = measured.form_records("recorded", {"n_epochs": None})
    check(committed, OF_FORMS)
    assert committed.groupby("name").epoch.agg(list).tolist() == [list(range(11))] * 5
    assert (committed.images == 700 * committed.epoch).all() and (committed.loss.isna() == (committed.epoch == 0)).all()
    again = measured.form_records("smoke", {"n_epochs": 2}, seed=0)
    check(again, OF_FORMS)
    expected = committed[committed.epoch <= 2].reset_index(drop=True)
    assert (again.name == expected.name).all() and (again.images == expected.images).all()
    for column in ("loss", "lr", "momentum"):  # another processor has other last bits
        assert again[column].to_numpy() == pytest.approx(expected[column].to_numpy(), rel=1e-3, nan_ok=True)
    assert again.validation_accuracy.to_numpy() == pytest.approx(expected.validation_accuracy.to_numpy(), abs=0.02)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "smoke" / "records" / "overhead" / "forms.parquet"), again)


def test_steps_are_measured_with_every_other_profile(tmp_path, monkeypatch):
    seconds = pd.DataFrame({"SGD": [1.0, 3.0], "HGD": [2.0, 4.0]}, index=pd.Index([10, 20], name="parameters"))
    monkeypatch.setattr(measured, "RUNS", tmp_path)
    monkeypatch.setattr(step_time, "of_training", lambda *args, **kwargs: pd.Series({"SGD": 1.0, "HGD": 2.0}))
    monkeypatch.setattr(step_time, "of_updates", lambda *args, **kwargs: seconds)
    steps = measured.step_records("smoke")
    check(steps.training, OF_STEPS)
    check(steps.updates, {"parameters": "int64"} | OF_STEPS)
    assert steps.training[["SGD", "HGD"]].to_numpy().tolist() == [[1, 2]]
    assert steps.updates[["parameters", "SGD", "HGD"]].to_numpy().tolist() == [[10, 1, 2], [20, 3, 4]]
    assert sorted(path.name for path in (tmp_path / "smoke" / "records" / "overhead").iterdir()) == [
        "training.parquet",
        "updates.parquet",
    ]


def test_the_judges_seconds_are_measured_on_the_records_given(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "RUNS", tmp_path)
    frame = records.load(DATA / "records" / "hia" / "quick.parquet").dropna(subset="validation_accuracy").head(80)
    row = measured.judge_seconds("smoke", frame)
    assert row.n_records == 80 and row.fanova > 0 and row.nrrelieff > 0
    assert (tmp_path / "smoke" / "records" / "overhead" / "judges.parquet").is_file()
    committed = measured.judge_seconds("recorded", frame)
    assert committed.n_records >= 500 and committed.fanova > committed.nrrelieff  # HIA-29
    assert set(committed.index) == set(row.index) and committed.notna().all()
