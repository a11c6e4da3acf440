"""HGD's experiments on Ray Tune: what the six algorithms do, and what is left when they are interrupted."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import ray
from filelock import FileLock
from ray.cluster_utils import Cluster
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.utils.serialization import TuneFunctionDecoder

from gsos import datasets, experiments, schedulers
from gsos.evaluation import describe_images
from gsos.experiments import COLUMNS, KEY, load, run_experiments
from gsos.schedulers import (
    ALGORITHMS,
    ALPHA_0,
    GAMMA_0,
    GENERATION,
    PERTURBATION_INTERVAL,
    POPULATION,
    REDUCTION_FACTOR,
    Experiment,
    first_configurations,
    fixed,
    searched,
)
from gsos.trainable import NETWORK
from gsos.training import train

MAX_EPOCHS = 9
SEED = 4
ENOUGH = 45  # reports, for each algorithm to show what it does
PROVENANCE = [column.name for column in COLUMNS if column.kind == "provenance"]
CLOCK = ["train_seconds", "seconds"]


def plan(algorithm, variant="sgd", budget=1.0):
    return Experiment("hgd-cifar10", "digits", algorithm, variant, 0, budget, MAX_EPOCHS, 32, SEED)


@pytest.fixture(scope="module")
def images():
    return {"digits": datasets.load("digits", n_train=100, valid_fraction=0.3)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def done(images, store):
    """One experiment of each algorithm, and its reports. Where a second buys too few reports, it has two, or four."""
    wanted = {a: plan(a) for a in ALGORITHMS}
    for _ in range(5):
        frame = run_experiments(list(wanted.values()), images, store=store, workers=2, device="cpu")
        counts = frame.groupby("algorithm").size()
        for algorithm in counts.index[counts < ENOUGH]:
            (store / f"hgd-{wanted[algorithm].name}.parquet").unlink()
            wanted[algorithm] = plan(algorithm, budget=2 * wanted[algorithm].budget)
        if counts.min() >= ENOUGH:
            break
    return wanted, frame


@pytest.fixture(scope="module")
def frame(done):
    return done[1]


def reports_of(frame, algorithm):
    return frame[frame.algorithm == algorithm].reset_index(drop=True)


def comparable(frame):
    return frame.drop(columns=[*PROVENANCE, *CLOCK, "budget"]).reset_index(drop=True)


def assert_common_prefix(a, b, at_least):
    n = min(len(a), len(b))
    assert n >= at_least
    pd.testing.assert_frame_equal(comparable(a.head(n)), comparable(b.head(n)))


def test_columns_are_complete_typed_and_in_order(frame, images):
    assert list(frame) == [column.name for column in COLUMNS]
    assert frame.dtypes.astype(str).to_dict() == {column.name: column.dtype for column in COLUMNS}
    assert frame.notna().all(axis=None)
    assert not frame.duplicated(KEY).any() and frame[KEY].equals(frame[KEY].sort_values(KEY))
    assert set(frame.algorithm) == set(ALGORITHMS) and set(frame.study) == {"hgd"}
    for _, reports in frame.groupby("algorithm"):
        assert reports.report.tolist() == list(range(len(reports)))
        assert reports.trial.unique().tolist() == list(range(reports.trial.nunique()))
    described = describe_images(images["digits"])
    for name in ("n_train", "n_valid", "image_size", "in_channel_num", "images_crc32"):
        assert set(frame[name]) == {described[name]}
    assert frame.validation_accuracy.between(0, 1).all() and frame.validation_accuracy.nunique() > 10
    assert set(frame.state) <= {"complete", "diverged"} and (frame.device == "cpu").all()
    assert frame.settings.str.startswith(f"alpha_0 {ALPHA_0:g}, gamma_0 {GAMMA_0:g}, beta ").all()


def test_an_experiment_ends_when_its_budget_is_spent(done):
    wanted, frame = done
    for algorithm, reports in frame.groupby("algorithm"):
        budget = wanted[algorithm].budget
        assert reports.train_seconds.iloc[-1] >= budget > reports.train_seconds.iloc[-2]
        assert reports.train_seconds.iloc[-1] < 2 * budget  # by one epoch at most
        assert (reports.train_seconds.diff().iloc[1:] > 0).all() and reports.train_seconds.iloc[0] > 0
        assert (reports.seconds.diff().iloc[1:] > 0).all() and (reports.seconds > reports.train_seconds).all()
        assert reports.images.tolist() == [100 * i for i in range(1, len(reports) + 1)]


def test_all_algorithms_start_with_the_same_networks(frame):
    first = pd.DataFrame(first_configurations(plan("asha")))[list(NETWORK)]
    for algorithm in ALGORITHMS:
        models = reports_of(frame, algorithm).drop_duplicates("trial")[list(NETWORK)]
        expected = first.head(len(models))
        if algorithm == "hyperband":  # its brackets take turns
            models, expected = models.head(5), first.head(20)
            assert len(models.merge(expected.drop_duplicates())) == len(models)
            continue
        n = {"genetic": GENERATION}.get(algorithm, len(models))
        assert models.head(n).to_numpy().tolist() == expected.head(n).to_numpy().tolist(), algorithm
    assert len(first.head(POPULATION).drop_duplicates()) == POPULATION


def test_hyperparameters_lie_in_their_domains(frame):
    for algorithm in ALGORITHMS:
        reports, space = reports_of(frame, algorithm), searched(plan("asha"))
        for name, distribution in space.items():
            inside = [distribution._contains(distribution.to_internal_repr(value)) for value in reports[name].unique()]
            assert all(inside), (algorithm, name)


def last_epochs(reports):
    """The epoch at which each model that has ended did."""
    return reports.iloc[:-1].groupby("trial").epoch.max().drop(reports.trial.iloc[-1], errors="ignore")


def stops(reports):
    """Which models successive halving with one bracket would have stopped, at which epoch: ASHA, told anew."""
    rungs = {REDUCTION_FACTOR**k: [] for k in range(2)}
    found = {}
    for row in reports.itertuples():
        cutoff = np.percentile(rungs.get(row.epoch) or [-1], 100 * (1 - 1 / REDUCTION_FACTOR))
        if row.epoch in rungs:
            rungs[row.epoch].append(row.validation_accuracy)
        if row.epoch == MAX_EPOCHS or row.validation_accuracy < cutoff or row.state != "complete":
            found.setdefault(row.trial, row.epoch)
    return found


def test_asha_stops_models_at_its_rungs(frame):
    reports = reports_of(frame, "asha")
    ended = last_epochs(reports)
    expected = stops(reports[reports.trial.isin(ended.index)])
    assert ended.to_dict() == expected
    assert {1, REDUCTION_FACTOR, MAX_EPOCHS} >= set(ended) and len(set(ended)) > 1


def test_ahb_has_other_brackets_than_asha(frame):
    reports = reports_of(frame, "ahb")
    ended = last_epochs(reports)
    assert {1, REDUCTION_FACTOR, MAX_EPOCHS} >= set(ended)
    assert (ended < MAX_EPOCHS).any()
    assert ended.to_dict() != stops(reports[reports.trial.isin(ended.index)])


def test_hyperband_takes_up_paused_models_where_they_stopped(frame, images):
    reports = reports_of(frame, "hyperband")
    paused = 0
    for _, own in reports.groupby("trial"):
        assert own.epoch.tolist() == list(range(1, len(own) + 1))
        row, pauses = own.iloc[-1], (own.report.diff().iloc[1:] > 1).sum()
        if pauses and row.state == "complete":
            seed = np.random.SeedSequence([SEED, *(int(row[name]) for name in NETWORK)]).generate_state(1)[0]
            config = fixed(plan("hyperband")) | {name: row[name] for name in ("lr", "momentum")}
            config |= {name: int(row[name]) for name in (*NETWORK, "epoch")}
            assert train(config, images["digits"], seed=int(seed)).validation_accuracy == row.validation_accuracy
            paused += 1
    assert paused
    assert reports.groupby("trial").epoch.max().nunique() > 1


def test_the_genetic_algorithm_breeds(frame):
    reports = reports_of(frame, "genetic")
    models = reports.drop_duplicates("trial").set_index("trial")
    assert GENERATION <= 10 and len(models) >= 2 * GENERATION
    parents, children = models.iloc[:GENERATION], models.iloc[GENERATION : 2 * GENERATION]
    inherited = [np.isin(children[name], parents[name]).mean() for name in ("lr", "momentum")]
    assert np.mean(inherited) > 0.5  # one in eight mutates; independent draws would share none
    lengths = reports[reports.trial < GENERATION].groupby("trial").epoch.max()
    assert set(lengths) <= {1, 2, MAX_EPOCHS // 3} and lengths.max() == MAX_EPOCHS // 3


@pytest.mark.parametrize("algorithm", ["pbt", "pb2"])
def test_a_population_exploits_and_explores(frame, algorithm):
    reports = reports_of(frame, algorithm)
    assert reports.trial.nunique() == POPULATION
    sizes = [name for name in NETWORK if name != "batch_size"]
    copies = reports[reports.copied_from >= 0]
    assert len(copies)
    explored = 0
    for row in copies.itertuples():
        source = reports[(reports.trial == row.copied_from) & (reports.report < row.report)]
        assert row.copied_from != row.trial
        assert row.epoch - 1 in set(source.epoch)
        assert all(getattr(row, name) == source[name].iloc[-1] for name in sizes)
        explored += not ((source.lr == row.lr) & (source.momentum == row.momentum)).any()
    assert explored
    runs = (reports.trial.diff() != 0).cumsum()
    assert set(reports.groupby(runs).size().iloc[:-1]) == {PERTURBATION_INTERVAL}  # in turn


def test_done_experiments_are_not_run_again(done, images, store, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "open_pools", None)  # would fail if it were called
    wanted, frame = list(done[0].values()), done[1]
    pd.testing.assert_frame_equal(run_experiments(wanted, images, store=store), frame)
    pd.testing.assert_frame_equal(run_experiments(wanted, images, store=tmp_path, committed=store), frame)
    pd.testing.assert_frame_equal(load(store), frame)
    assert not list(store.glob("*.unfinished/*"))


def test_reports_of_other_settings_are_refused(done, images, store, tmp_path, monkeypatch):
    asha = done[0]["asha"]
    with pytest.raises(ValueError, match=f"has reports of {asha.name} with budget = {asha.budget}, not 3.0"):
        run_experiments([asha._replace(budget=3.0)], images, store=store)
    others = {"digits": datasets.load("digits", n_train=50, valid_fraction=0.3)}
    with pytest.raises(ValueError, match="with n_train = 100, not 50: give a study of other settings another name"):
        run_experiments([asha], others, store=tmp_path, committed=store)
    monkeypatch.setattr(schedulers, "ALPHA_0", 0.123)
    with pytest.raises(ValueError, match="with settings = alpha_0 "):
        run_experiments([asha], images, store=store)


def test_bad_input_is_named_before_ray_starts(images, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "init", None)  # would fail if it were called
    asha = plan("asha")
    for wrong, message in (
        ({"case": "hgd"}, "case must be one of hgd-cifar10, hgd-cifar100, not 'hgd'"),
        ({"algorithm": "bohb"}, "algorithm must be one of asha, ahb, genetic, hyperband, pbt, pb2, not 'bohb'"),
        ({"variant": "adam"}, "variant must be one of sgd, hgd, fixed, sgd log, hgd reset, not 'adam'"),
        ({"budget": -1.0}, "budget must be a positive number of seconds, not -1"),
        ({"width_divisor": 0}, "width_divisor must be at least 1, not 0"),
        ({"dataset": "usps"}, "there are images of digits, not of 'usps'"),
    ):
        with pytest.raises(ValueError, match=message):
            run_experiments([asha, asha._replace(**wrong)], images, store=tmp_path)
    with pytest.raises(ValueError, match="two experiments are named hgd-cifar10-digits-asha-sgd-0"):
        run_experiments([asha, asha._replace(seed=6)], images, store=tmp_path)
    with pytest.raises(ValueError, match="device 'cuda:77' is not there"):
        run_experiments([asha], images, store=tmp_path, device="cuda:77")
    with pytest.raises(ValueError, match="workers must be at least 1, not 0"):
        run_experiments([asha], images, store=tmp_path, workers=0)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ConnectionError, match="no Ray cluster answers at RAY_ADDRESS=127.0.0.1:9"):
        run_experiments([asha], images, store=tmp_path)


def test_one_process_works_on_a_study(images, tmp_path):
    lock = FileLock(tmp_path / "store.hgd.lock")
    with lock, pytest.raises(RuntimeError, match="another process is at work on hgd in .*store; wait for it, or name"):
        run_experiments([plan("asha")], images, store=tmp_path / "store")


def test_where_nothing_is_stored_that_is_said(tmp_path):
    for place in (tmp_path, tmp_path / "none.parquet"):
        with pytest.raises(ValueError, match=f"there are no reports at {place}"):
            load(place)


def test_a_ray_that_cannot_start_is_an_error(monkeypatch, tmp_path):
    def no_port(**_):
        raise OSError("no free port")

    for name, value in experiments._ENVIRONMENT.items():
        monkeypatch.setenv(name, value)  # which it does itself, and for good
    (tmp_path / "file").touch()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file" / "folder"))
    for init, reason in ((no_port, r"OSError: no free port"), (ray.init, "NotADirectoryError: ")):
        monkeypatch.setattr(ray, "init", init)
        with pytest.raises(RuntimeError, match=rf"Ray could not be started on this machine \({reason}"):
            experiments.start_ray()
        assert not ray.is_initialized()


class Tuner:
    """Stands in for Tune's: it ends at once, with what it found."""

    def __init__(self, *errors, raises=None):
        self.errors, self._raises = errors, raises

    def fit(self):
        if self._raises:
            raise self._raises
        return self


@pytest.mark.parametrize(
    ("tuner", "message"),
    [
        (Tuner(RayTaskError("train", "a long trace", IndexError("out of bounds"))), "IndexError: out of bounds"),
        (Tuner(RayActorError()), "RayActorError: The actor experienced an error"),
        (Tuner(raises=ray.tune.TuneError("a long trace\nRuntimeError: no memory\n")), "RuntimeError: no memory"),
    ],
)
def test_an_experiment_with_an_error_starts_anew(tmp_path, monkeypatch, tuner, message):
    asha = plan("asha")
    place = tmp_path / f"{asha.name}-{schedulers._checksum(asha, ()):08x}"
    place.mkdir()
    monkeypatch.setattr(schedulers, "_tuner", lambda *_: tuner)
    with pytest.raises(RuntimeError, match=f"^hgd-cifar10-digits-asha-sgd-0 stopped: {message}"):
        schedulers.run_experiment(asha, (), tmp_path)
    assert not place.exists()


def test_an_experiment_that_is_told_to_stop_is_kept(tmp_path, monkeypatch):
    asha = plan("asha")
    place = tmp_path / f"{asha.name}-{schedulers._checksum(asha, ()):08x}"
    place.mkdir()
    monkeypatch.setattr(schedulers, "_tuner", lambda *_: Tuner())
    with pytest.raises(KeyboardInterrupt, match="the same command takes it up again"):
        schedulers.run_experiment(asha, (), tmp_path)
    assert place.exists()


SCRIPT = """
from gsos import datasets
from gsos.experiments import run_experiments
from gsos.schedulers import Experiment
if __name__ == "__main__":
    images = {{"digits": datasets.load("digits", n_train=100, valid_fraction=0.3)}}
    run_experiments([Experiment(*e) for e in {experiments!r}], images, store={store!r}, workers=2, device="cpu")
"""


class Coordinator:
    """A process that runs experiments, and those that it starts."""

    def __init__(self, script):
        self._mark = f"{script}-{time.time()}"
        environment = os.environ | {"TUNE_GLOBAL_CHECKPOINT_S": "0.5", "COORDINATOR": self._mark}
        options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "env": environment}
        self.process = subprocess.Popen([sys.executable, str(script)], start_new_session=True, **options)

    def wait_until(self, happened):
        while not happened():
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.05)

    def wait_for_the_end(self):
        """What it said, when all its processes are gone."""
        _, said = self.process.communicate(timeout=60)
        deadline = time.monotonic() + 20
        while self._processes():
            assert time.monotonic() < deadline, self._processes()
            time.sleep(0.1)
        return said

    def _processes(self):
        listing = subprocess.run(["ps", "eww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        own = [line[:80] for line in listing.splitlines() if f"COORDINATOR={self._mark}" in line]
        return [line for line in own if "Agent " not in line]  # Ray's own watchers need up to a minute to see it


def stored(store, experiment):
    """The reports of an experiment that is done, or those that Tune has stored of one that is not."""
    path = store / f"hgd-{experiment.name}.parquet"
    if path.exists():
        return load(path)
    for path in (store / "hgd.unfinished").glob(f"{experiment.name}-*/experiment_state-*.json"):
        try:
            state = json.loads(path.read_text(), cls=TuneFunctionDecoder, allow_cloudpickle=True)
        except (json.JSONDecodeError, OSError):  # it is being written
            continue
        return pd.DataFrame(state["runner_data"]["_stopper"]._rows)
    return pd.DataFrame()


def assert_goes_on(reports, before):
    """Nothing that was reported before an interruption is lost, changed or reported again."""
    pd.testing.assert_frame_equal(reports.head(len(before))[list(before)], before, check_dtype=False)
    assert (reports.train_seconds.diff().iloc[1:] > 0).all() and (reports.seconds.diff().iloc[1:] > 0).all()
    assert (reports.images.diff().iloc[1:] == 100).all()
    for trial, own in reports.groupby("trial"):
        steps = own.epoch.diff().iloc[1:]
        assert (steps[own.copied_from.iloc[1:] < 0] == 1).all(), trial


@pytest.mark.skipif(sys.platform != "linux", reason="asks ps for the environment of processes")
def test_killed_experiments_go_on_and_leave_no_process(images, tmp_path):
    store, script = tmp_path / "store", tmp_path / "run.py"
    running = [plan("asha", budget=3.0), plan("pbt", "hgd", budget=3.0)]
    script.write_text(SCRIPT.format(experiments=[tuple(e) for e in running], store=str(store)))
    coordinator = Coordinator(script)
    try:
        coordinator.wait_until(lambda: all(len(stored(store, e)) > 10 for e in running))
        coordinator.process.kill()  # alone: those that it started must end by themselves
        coordinator.wait_for_the_end()
    finally:
        if coordinator.process.poll() is None:
            os.killpg(coordinator.process.pid, signal.SIGKILL)
    before = {experiment: stored(store, experiment) for experiment in running}
    final = run_experiments(running, images, store=store, workers=2, device="cpu")
    for experiment in running:
        reports = reports_of(final, experiment.algorithm)
        assert_goes_on(reports, before[experiment])
        assert reports.train_seconds.iloc[-2] < 3.0 <= reports.train_seconds.iloc[-1]
    reports = reports_of(final, "pbt")
    assert reports.trial.nunique() == POPULATION and (reports.copied_from >= 0).any()
    assert reports.lr.nunique() > len(reports) / 2  # learnt


def test_a_cluster_does_the_same_work(done, images, tmp_path, monkeypatch):
    plain = {"num_cpus": 1, "include_log_monitor": False, "include_dashboard": False, "no_monitor": True}
    cluster = Cluster(initialize_head=True, head_node_args=plain)
    try:
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        wanted, frame = done
        shorter = wanted["pbt"]._replace(budget=0.7 * wanted["pbt"].budget)
        again = run_experiments([shorter], images, store=tmp_path, device="cpu")  # by one worker
        assert_common_prefix(again, reports_of(frame, "pbt"), 20)
    finally:
        ray.shutdown()
        cluster.shutdown()
