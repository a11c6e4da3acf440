"""Collecting records: the same whatever happens on the way."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import interrupted
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from interrupted import n_lines

from gsos import collect as collect_module
from gsos import datasets, evaluation, records
from gsos.collect import Plan, collect
from gsos.evaluation import study_seed
from gsos.space import SPACES, check_config, sample

N = 46  # 32 + 14: two BOHB brackets, the second cut short


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", n_train=60)


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    store = tmp_path_factory.mktemp("uninterrupted") / "trials.journal"
    return collect(digits, N, store=store, workers=2, device="cpu")


def assert_same(a, b):
    pd.testing.assert_frame_equal(records.comparable(a), records.comparable(b))


def test_ratio_records_and_origins(uninterrupted):
    assert len(uninterrupted) == N
    assert uninterrupted.strategy.value_counts().to_dict() == {"random": 32, "bohb": 14}
    bohb = uninterrupted[uninterrupted.strategy == "bohb"]
    assert bohb.epoch.tolist() == [1] * 9 + [3] * 3 + [9] + [3]
    assert bohb.model.nunique() == 10 and set(bohb.origin) == {"startup"}
    survivors = bohb[bohb.epoch == 3].head(3)
    firsts = bohb.set_index("iteration").loc[survivors.model]
    assert survivors.lr.tolist() == firsts.lr.tolist()
    assert sorted(firsts.validation_accuracy) == sorted(bohb.head(9).validation_accuracy)[-3:]
    for row in uninterrupted.to_dict("records"):
        config = {k: v for k, v in row.items() if k in SPACES["hia"] and not pd.isna(v)}
        check_config(config, SPACES["hia"])
    may_be_missing = ["num_filters_2", "num_filters_3", "error"]
    assert uninterrupted.drop(columns=may_be_missing).notna().all(axis=None)


def test_same_records_for_one_and_two_workers(digits, uninterrupted, tmp_path):
    assert_same(collect(digits, N, store=tmp_path / "one.journal", workers=1, device="cpu"), uninterrupted)


def test_a_study_grows_and_equals_one_that_was_large_at_once(digits, uninterrupted, tmp_path):
    for n in (1, 20, N):
        frame = collect(digits, n, store=tmp_path / "trials.journal", workers=2, device="cpu")
        assert len(frame) == n
    assert_same(frame, uninterrupted)
    stored = records.load(tmp_path / "trials.journal")
    assert len(stored) == N
    assert len(collect(digits, 10, store=tmp_path / "trials.journal")) == 10  # fewer: nothing is trained or lost
    assert len(records.load(tmp_path / "trials.journal")) == N


def test_a_finished_study_trains_nothing(digits, uninterrupted, tmp_path, monkeypatch):
    records.export(uninterrupted, tmp_path / "committed" / "hia.parquet")
    monkeypatch.setattr(evaluation, "open_pools", None)  # would fail if it were called
    frame = collect(digits, N, store=tmp_path / "trials.journal", committed=tmp_path / "committed")
    assert_same(frame, uninterrupted)


def test_seeds_and_datasets_have_configurations_of_their_own():
    seeds = {study_seed(s, d, k) for s in (0, 1) for d in ("digits", "usps") for k in ("random", "bohb")}
    assert len(seeds) == 8
    plan = Plan(10, SPACES["hia"], {}, "digits", 0, None)
    tasks = [plan.next_task() for _ in range(10)]
    assert [task.columns["strategy"] for task in tasks] == ["bohb"] * 3 + ["random"] * 7 and plan.next_task() is None
    assert len({task.seed for task in tasks}) == 10
    rng = np.random.default_rng(np.random.SeedSequence([study_seed(0, "digits", "random"), 4]))
    assert tasks[3 + 4].config == sample(SPACES["hia"], rng)


def test_survivors_continue_from_weights_that_are_removed_afterwards(digits, tmp_path):
    frame = collect(digits, 44, store=tmp_path / "trials.journal", workers=1, device="cpu")
    bohb = frame[frame.strategy == "bohb"]
    assert bohb.epochs_trained.tolist() == [1] * 9 + [2] * 3 + [6]
    assert not list(tmp_path.rglob("*.pt"))


def test_without_the_weights_a_survivor_is_trained_anew_to_the_same_record(
    digits, uninterrupted, tmp_path, monkeypatch
):
    monkeypatch.setattr(collect_module, "Plan", lambda *arguments: Plan(*arguments[:-1], None))
    frame = collect(digits, N, store=tmp_path / "trials.journal", workers=2, device="cpu")
    assert frame[frame.strategy == "bohb"].epochs_trained.tolist() == [1] * 9 + [3] * 3 + [9] + [3]
    assert_same(frame, uninterrupted)


def test_the_weights_of_another_seed_are_not_taken(digits, uninterrupted, tmp_path):
    """Three studies in one store, each stopped after BOHB's first rung and then finished."""
    for n in (30, N):  # 9 BOHB evaluations are the first rung
        for seed in (1, 2, 0):
            frame = collect(digits, n, store=tmp_path / "trials.journal", workers=1, device="cpu", seed=seed)
    assert_same(frame, uninterrupted)


def test_a_process_of_the_callers_own_may_end(digits, tmp_path):
    own = multiprocessing.Process(target=time.sleep, args=(0.2,))
    own.start()
    assert len(collect(digits, 20, store=tmp_path / "trials.journal", workers=1, device="cpu")) == 20
    own.join()


def test_a_database_is_a_store_for_one_coordinator(digits, uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "RUNS", tmp_path)
    store = f"sqlite:///{tmp_path}/trials.db"
    assert_same(collect(digits, N, store=store, workers=2, device="cpu"), uninterrupted)
    (lock,) = tmp_path.glob("*.lock")
    with FileLock(lock), pytest.raises(RuntimeError, match="another process is at work on"):
        collect(digits, N, store=store)


def test_a_failed_training_is_a_record(digits, tmp_path, monkeypatch):
    def no_memory(*_, **__):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(evaluation, "train", no_memory)
    evaluation.load_worker(evaluation.as_arrays(digits), "cpu")
    task = Plan(1, SPACES["hia"], {}, "digits", 0, None).next_task()
    result = evaluation.train_task(task)
    assert result["state"] == "failed" and result["error"] == "RuntimeError: CUDA out of memory"
    assert result["device"] == "cpu" and result["validation_accuracy"] is None
    frame = records.to_frame(
        [task.columns | task.config | {"study": "t", "dataset": "d", "seed": 0, "round": 0} | result]
    )
    assert frame.validation_accuracy.isna().all() and frame.clipped.isna().all()  # the columns are there

    def lost_device(*_, **__):
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(evaluation, "train", lost_device)
    with pytest.raises(RuntimeError, match="unspecified launch failure"):  # no record: the next model would fail too
        evaluation.train_task(task)
    plan = Plan(14, SPACES["hia"], {}, "digits", 0, None)
    for _ in range(14):  # BOHB takes it as the worst
        task = plan.next_task()
        plan.tell(task.columns | task.config | {"state": "failed", "error": "x", "validation_accuracy": None})
    assert plan.n_missing == 0


def test_killed_ten_times_ends_with_exactly_the_asked_records(digits, uninterrupted, tmp_path):
    store = tmp_path / "trials.journal"
    command = [sys.executable, interrupted.__file__, str(store), str(N), "10"]  # every second time with its workers
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert int(said.stdout) >= 8, said.stderr
    frame = collect(digits, N, store=store, workers=2, device="cpu")
    assert_same(frame, uninterrupted)
    trials = records.open_study(records.open_storage(store), "hia/digits").trials
    assert len(trials) == N  # none was stored twice


COLLECT = """
from gsos import datasets
from gsos.collect import collect
if __name__ == "__main__":
    images = datasets.load("fashion_mnist_sample", n_train=4000)
    collect(images, 99, store={store!r}, workers=2, device="cpu")
"""


def test_a_dead_worker_is_an_error_not_a_hang(tmp_path):
    script, store = tmp_path / "run.py", tmp_path / "trials.journal"
    script.write_text(COLLECT.format(store=str(store)))
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while n_lines(store) < 3:
            assert process.poll() is None
            time.sleep(0.05)
        listing = subprocess.run(["ps", "-eo", "pid,ppid,pgid"], capture_output=True, text=True, check=True).stdout
        rows = [tuple(map(int, line.split())) for line in listing.splitlines()[1:]]
        group = {pid: parent for pid, parent, pgid in rows if pgid == process.pid}
        workers = [pid for pid, parent in group.items() if parent in group and parent != process.pid]
        assert len(workers) == 2  # children of the fork server; the highest number may be of another: numbers wrap
        os.kill(workers[0], signal.SIGKILL)
        assert process.wait(timeout=60) == 1
        assert "a worker process died" in process.stderr.read()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_bad_input_is_named(digits, uninterrupted, tmp_path, monkeypatch):
    store = tmp_path / "trials.journal"
    with pytest.raises(ValueError, match="n must be at least 1, not 0"):
        collect(digits, 0, store=store)
    with pytest.raises(ValueError, match="device 'cuda:77' is not there"):
        collect(digits, 5, store=store, device="cuda:77")
    for workers in (0, -1):
        with pytest.raises(ValueError, match=f"workers must be at least 1, not {workers}"):
            collect(digits, 5, store=store, workers=workers)
    with pytest.raises(ValueError, match="seed must not be negative, but is -1"):
        collect(digits, 5, store=store, seed=-1)
    with pytest.raises(ValueError, match="the store foo://x cannot be opened"):
        collect(digits, 5, store="foo://x")
    with pytest.raises(ValueError, match="the store sqlite:////none/x.db cannot be opened"):
        collect(digits, 5, store="sqlite:////none/x.db")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ConnectionError, match="no Ray cluster answers at RAY_ADDRESS=127.0.0.1:9"):
        collect(digits, 5, store=store)
    monkeypatch.delenv("RAY_ADDRESS")
    records.export(uninterrupted, tmp_path / "hia.parquet")
    with pytest.raises(ValueError, match="study 'hia' has records of digits with n_train = 60, not 80"):
        collect(datasets.load("digits", n_train=80), 5, store=store, committed=tmp_path / "hia.parquet")
    with (
        FileLock(f"{store}.hia-digits.lock"),
        pytest.raises(RuntimeError, match="another process is at work on hia-dig"),
    ):
        collect(digits, 5, store=store)


def test_one_of_two_ray_nodes_dies(digits, uninterrupted, tmp_path, monkeypatch):
    import ray
    from ray.cluster_utils import Cluster

    store = tmp_path / "trials.journal"
    plain = {"num_cpus": 1, "num_gpus": 1, "include_log_monitor": False}
    cluster = Cluster(initialize_head=True, head_node_args=plain | {"include_dashboard": False, "no_monitor": True})
    try:
        node = cluster.add_node(**plain)  # GPUs in name: what is tested is their sharing out
        cluster.wait_for_nodes()
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        removed = threading.Event()

        def kill_node():
            while n_lines(store) < 12:
                time.sleep(0.01)
            cluster.remove_node(node, allow_graceful=False)
            removed.set()

        killer = threading.Thread(target=kill_node, daemon=True)
        killer.start()
        frame = collect(digits, N, store=store, workers=2, device="cpu")
        killer.join(timeout=60)
        assert removed.is_set()
        assert_same(frame, uninterrupted)
        assert len(records.open_study(records.open_storage(store), "hia/digits").trials) == N
    finally:
        ray.shutdown()
        cluster.shutdown()
