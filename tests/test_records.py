"""The record format and its store."""

import os
import resource
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from gsos import records
from gsos.space import SPACES, encode, sample


def row(i, **changes):
    config = sample(SPACES["hia"], np.random.default_rng(i))
    base = {"study": "t", "strategy": "random", "dataset": "digits", "seed": 0, "round": 0, "iteration": i, "model": i}
    result = {"state": "complete", "validation_accuracy": 0.5, "validation_loss": 1.0, "clipped": False}
    return base | {"origin": "random"} | config | result | records.stamp("gsos 0") | changes


def test_every_column_is_described_once():
    table = records.describe()
    assert table.index.is_unique and (table.meaning.str.len() > 0).all()
    assert set(table.kind) == {"key", "hyperparameter", "data", "result", "cost", "provenance"}
    assert set(SPACES["hia"]) | set(SPACES["gsos"]) <= set(table.index)


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_rows_come_back_from_the_store_and_from_parquet(tmp_path, kind):
    store = tmp_path / "deep" / "trials.journal" if kind == "journal" else f"sqlite:///{tmp_path}/trials.db"
    study = records.open_study(records.open_storage(store), "t/digits")
    rows = [row(i) for i in range(5)]
    rows.append({k: v for k, v in row(5).items() if k not in ("validation_accuracy", "validation_loss", "clipped")})
    rows[5] |= {"state": "failed", "error": "RuntimeError: out of memory"}
    for r in reversed(rows):
        records.add(study, r, SPACES["hia"])
    frame = records.load(store)
    pd.testing.assert_frame_equal(frame, records.to_frame(rows))
    assert frame.iteration.tolist() == [0, 1, 2, 3, 4, 5]
    assert frame.lr.tolist() == [r["lr"] for r in rows]  # to the last bit
    assert [None if pd.isna(v) else v for v in frame.num_filters_3] == [r.get("num_filters_3") for r in rows]
    records.export(frame, tmp_path / "out" / "a.parquet")
    pd.testing.assert_frame_equal(records.load(tmp_path / "out" / "a.parquet"), frame)
    pd.testing.assert_frame_equal(records.load(tmp_path / "out"), frame)
    X, _ = encode(frame, SPACES["hia"])  # records go straight into an analysis
    assert X.shape == (6, 13) and np.isnan(X).any()


def test_frames_are_typed_also_when_empty_or_of_missing_values():
    frame = records.to_frame([row(0, num_filters_2=None)])
    assert frame.num_conv_layers.dtype == "Int64" and frame.clipped.dtype == "boolean"
    empty = records.to_frame([])
    assert list(empty) == records.KEY and len(empty) == 0


def test_a_key_is_kept_once():
    frame = records.to_frame([row(3), row(3, finished="later"), row(1)])
    assert frame.iteration.tolist() == [1, 3] and frame.finished[1] != "later"


def test_records_of_a_study_are_selected():
    frame = records.to_frame([row(0), row(1, dataset="usps"), row(2, study="other")])
    assert records.select(frame, "t").iteration.tolist() == [0, 1]
    assert records.select(frame, "t", ["usps"]).iteration.tolist() == [1]
    with pytest.raises(
        ValueError, match=r"no records of study 'x' and datasets None; there are other \(digits\), t \(dig"
    ):
        records.select(frame, "x")


def test_unknown_columns_are_refused():
    with pytest.raises(ValueError, match=r"unknown columns \['learning_rate'\]"):
        records.to_frame([row(0, learning_rate=1.0)])


def test_comparable_leaves_out_times_and_provenance():
    a, b = records.to_frame([row(0, train_seconds=1.0)]), records.to_frame([row(0, train_seconds=2.0, finished="x")])
    pd.testing.assert_frame_equal(records.comparable(a), records.comparable(b))
    assert "train_seconds" not in records.comparable(a) and "validation_loss" in records.comparable(a)


def test_a_torn_last_line_is_dropped(tmp_path):
    store = tmp_path / "trials.journal"
    study = records.open_study(records.open_storage(store), "t")
    records.add(study, row(0), SPACES["hia"])
    records.add(study, row(1), SPACES["hia"])
    store.write_bytes(store.read_bytes()[:-40])
    study = records.open_study(records.open_storage(store), "t")
    records.add(study, row(2), SPACES["hia"])
    assert records.load(store).iteration.tolist() == [0, 2]


def add_until_full(store, limit):
    """Records rows into a store whose file may not grow beyond `limit` bytes: a disk that runs full."""
    study = records.open_study(records.open_storage(store), "t")
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for i in range(100):
        try:
            records.add(study, row(i), SPACES["hia"])
        except OSError as error:
            return i, str(error)
    return None


def test_a_full_disk_loses_nothing_finished(tmp_path):
    store = tmp_path / "trials.journal"
    with ProcessPoolExecutor(1) as pool:
        stored, message = pool.submit(add_until_full, store, 20_000).result()
    assert 2 < stored < 100
    assert f"iteration {stored}) could not be stored" in message and "make room" in message
    assert records.load(store).iteration.tolist() == list(range(stored))
    study = records.open_study(records.open_storage(store), "t")  # with room again it goes on
    records.add(study, row(stored), SPACES["hia"])
    assert len(records.load(store)) == stored + 1


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="the record store cannot be written") as error:
        records.open_storage(tmp_path / "runs" / "trials.journal")
    assert error.value.filename == str(tmp_path / "runs" / "trials.journal")


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("precious, and without a newline at the end")
    with pytest.raises(ValueError, match="notes.txt is no store of records"):
        records.open_storage(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text().endswith("at the end")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="the record store cannot be written"):
        records.open_storage(tmp_path / "trials.journal")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="there are no records at"):
        records.load(tmp_path / "none.parquet")
    with pytest.raises(ValueError, match="holds no Parquet files"):
        records.load(tmp_path)


def test_the_lock_of_a_killed_process_does_not_block(tmp_path):
    """Optuna's own lock would make the next process wait for half a minute."""
    store = tmp_path / "trials.journal"
    code = (
        "import os, sys\nfrom gsos import records\n"
        f"storage = records.open_storage({str(store)!r})\n"
        "storage._backend._lock.acquire()\nos.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with FileLock(f"{store}.lock", timeout=0):  # free at once
        pass
    records.add(records.open_study(records.open_storage(store), "t"), row(0), SPACES["hia"])
    assert len(records.load(store)) == 1
