"""Rounds of strategies: the same records whatever happens on the way."""

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import IntDistribution
from scipy.stats import spearmanr

from gsos import datasets, evaluation, records
from gsos.blocks import BlockTPE
from gsos.paths import DATA
from gsos.space import DEFAULTS, GROUPS, SPACES, check_config, divide_epochs
from gsos.strategy import COST_WEIGHT, STRATEGIES
from gsos.tuning import STEP, Plan, Run, predicted_cost, run_strategies, run_strategy

SPACE, START = divide_epochs(SPACES["gsos"], DEFAULTS["gsos"], 5)
NAMES = ["gsos", "simultaneous", "epoch schedule"]
OPTIONS = {"space": SPACE, "defaults": START, "n_iterations": 10, "device": "cpu"}


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", n_train=60)


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    store = tmp_path_factory.mktemp("uninterrupted") / "trials.journal"
    return run_strategies(NAMES, digits, rounds=[0, 1], store=store, workers=2, **OPTIONS)


def assert_same(a, b):
    pd.testing.assert_frame_equal(records.comparable(a), records.comparable(b))


def test_records_of_two_rounds(uninterrupted):
    runs = uninterrupted.groupby(["strategy", "round"])
    assert (runs.size() == 10).all() and len(runs) == 6
    assert runs.iteration.apply(list).tolist() == [list(range(10))] * 6
    gsos = uninterrupted[uninterrupted.strategy == "gsos"]
    assert gsos.groupby("round").group.apply(list).tolist() == [[0] * 4 + [1] * 3 + [2] * 3] * 2
    assert uninterrupted[uninterrupted.strategy != "gsos"].group.isna().all()
    assert set(uninterrupted.origin) == {"startup", "model"}
    assert (uninterrupted.propose_seconds > 0).all() and (uninterrupted.train_seconds > 0).all()
    assert (uninterrupted.epochs_trained == uninterrupted.epoch).all()
    for row in uninterrupted.to_dict("records"):
        check_config({name: row[name] for name in SPACE}, SPACE)
        filters = [row.get(f"num_filters_{i}") for i in range(1, 5)]
        assert [16] * row["num_conv_layers"] == [n for n in filters if not pd.isna(n)]
    different = records.comparable(uninterrupted).drop(columns=["strategy", "iteration", "group"])
    assert not different.duplicated(["round", "lr"]).all()


def test_the_epochs_of_the_control_are_fixed_and_freed_with_those_of_gsos(uninterrupted):
    for _, rows in uninterrupted[uninterrupted.strategy != "simultaneous"].groupby(["strategy", "round"]):
        epochs = rows.epoch.tolist()
        assert epochs[:4] == [2] * 4 and len(set(epochs[4:7])) > 1 and len(set(epochs[7:])) == 1
        free = rows.iloc[4:7]
        complete = free[free.state == "complete"]
        assert epochs[7] == complete.loc[complete.validation_accuracy.idxmax(), "epoch"]


def test_strategies_of_a_round_share_their_seeds(uninterrupted):
    together, control = (
        uninterrupted[(uninterrupted.strategy == name) & (uninterrupted.origin == "startup")] for name in NAMES[1:]
    )
    same = [name for name in SPACE if name != "epoch"]
    assert together[same].reset_index(drop=True).equals(control[same].reset_index(drop=True))
    first, second = (rows.lr.tolist() for _, rows in together.groupby("round"))
    assert first != second


def test_one_worker_and_what_is_committed(digits, uninterrupted, tmp_path):
    """Some records are there already: the beginning of one round, all of another, and one that cannot be used yet."""
    some = (
        (uninterrupted.strategy == "gsos") & (uninterrupted["round"] == 0) & (uninterrupted.iteration < 6)
        | (uninterrupted.strategy == "simultaneous") & (uninterrupted["round"] == 1)
        | (uninterrupted.strategy == "epoch schedule") & (uninterrupted.iteration == 4)
    )
    whole = uninterrupted.strategy == "simultaneous"
    records.export(uninterrupted[some & whole], tmp_path / "whole.parquet")
    records.export(uninterrupted[some & ~whole], tmp_path / "begun.parquet")
    store = tmp_path / "trials.journal"
    frame = run_strategies(NAMES, digits, rounds=[0, 1], store=store, workers=1, committed=tmp_path, **OPTIONS)
    assert_same(frame, uninterrupted)
    assert len(records.load(store)) == 60 - 6 - 10


def test_one_round_of_one_strategy_is_a_part_of_the_whole(digits, uninterrupted, tmp_path, monkeypatch):
    store = tmp_path / "trials.journal"
    frame = run_strategy("epoch schedule", digits, round=1, store=store, workers=1, **OPTIONS)
    whole = uninterrupted[(uninterrupted.strategy == "epoch schedule") & (uninterrupted["round"] == 1)]
    assert_same(frame, records.concat([whole]))
    monkeypatch.setattr(evaluation, "open_pools", None)  # would fail if it were called
    assert_same(run_strategy("epoch schedule", digits, round=1, store=store, **OPTIONS), frame)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_iterations": 20}, "the store's iteration 2 of 'gsos', round 0, has "),
        ({"n_iterations": 5}, "the store has more than 5 iterations of 'gsos', round 0: these are other settings"),
        ({"groups": GROUPS["gsos"][::-1]}, "the store's iteration 0 of 'gsos', round 0, has .* another name"),
        ({"defaults": START | {"kernel": 5}}, "the store's iteration 0 of 'gsos', round 0, has kernel = 3, .* be 5"),
    ],
)
def test_records_of_other_settings_are_refused(digits, uninterrupted, tmp_path, changes, message):
    records.export(uninterrupted, tmp_path / "gsos.parquet")
    with pytest.raises(ValueError, match=message):
        run_strategies(
            ["gsos"], digits, rounds=[0], store=tmp_path / "x.journal", committed=tmp_path, **OPTIONS | changes
        )


def test_a_space_with_conditions_is_run_and_resumed(digits, tmp_path):
    space = {name: d for name, d in SPACES["hia"].items()} | {"epoch": IntDistribution(1, 2)}
    options = {"space": space, "defaults": DEFAULTS["hia"], "device": "cpu", "store": tmp_path / "trials.journal"}
    frame = run_strategy("simultaneous", digits, round=0, n_iterations=6, workers=1, **options)
    assert frame.num_filters_3.isna().any() and (frame.num_conv_layers == 1).any()
    records.export(frame[frame.iteration < 4], tmp_path / "first.parquet")
    options |= {"store": tmp_path / "again.journal", "committed": tmp_path / "first.parquet"}
    assert_same(run_strategy("simultaneous", digits, round=0, n_iterations=6, workers=1, **options), frame)


def row_of(task, state="complete", accuracy=0.5):
    made_up = {"n_train": 60, "multiply_adds": 10**5 * task.config["num_fc_units"]}
    return task.columns | task.config | made_up | {"state": state, "validation_accuracy": accuracy}


def test_the_predicted_cost_by_hand():
    row = {"epoch": 10, "n_train": 60, "batch_size": 32, "multiply_adds": 0, "state": "complete"}
    assert predicted_cost(row) == 20  # the last batch of 28 is one too
    assert predicted_cost(row | {"multiply_adds": int(STEP)}) == 20 + 600
    of_a_frame = {"epoch": np.float64(3), "n_train": 64, "batch_size": np.float64(32), "multiply_adds": np.int64(0)}
    assert predicted_cost(row | of_a_frame) == 6
    assert predicted_cost(row | {"state": "failed", "multiply_adds": None}) is None


def test_seconds_follow_the_predicted_cost():
    frame = records.load(DATA / "records" / "gsos" / "quick.parquet")
    frame = frame[frame.state == "complete"]
    predicted = [predicted_cost(row) for row in frame.to_dict("records")]
    assert spearmanr(predicted, frame.train_seconds).statistic > 0.95


def test_what_a_training_costs_is_told_and_a_stored_run_goes_on():
    options = {"seed": 2, "groups": GROUPS["gsos"], "defaults": START, "space": SPACE, "n_iterations": 24}
    run = Run("blocks cost", 0, {}, **options)
    tpe = BlockTPE(SPACE, default={name: START[name] for name in SPACE}, cost_weight=COST_WEIGHT, seed=2)
    configs = []
    for i in range(24):
        task, config = run.next_task(), tpe.ask()
        assert config == {name: task.config[name] for name in SPACE}
        configs.append(task.config)
        tpe.tell(config, 1 - i % 7 / 10, predicted_cost(row_of(task)))
        run.tell(row_of(task, accuracy=i % 7 / 10))
    done = {("blocks cost", 0, i): row for i, row in enumerate(run.rows[:15])}
    assert Run("blocks cost", 0, done, **options).next_task().config == configs[15]


def test_a_diverged_or_failed_trial_is_the_worst():
    run = Run("gsos", 0, {}, seed=0, groups=GROUPS["gsos"], defaults=START, space=SPACE, n_iterations=10)
    told = []
    for i, (state, accuracy) in enumerate([("diverged", 0.9), ("complete", 0.1), ("failed", None), ("complete", 0.2)]):
        task = run.next_task()
        assert task.columns["iteration"] == i and run.in_flight
        told.append(task.config)
        run.tell(row_of(task, state, accuracy))
    carried = run.next_task().config
    assert [carried[name] for name in GROUPS["gsos"][0]] == [told[3][name] for name in GROUPS["gsos"][0]]


def test_of_the_first_unfinished_round_the_least_advanced_run_is_next():
    options = {"groups": GROUPS["gsos"], "defaults": START, "space": SPACE, "n_iterations": 10}
    plan = Plan([Run(name, r, {}, seed=r, **options) for r in (0, 1) for name in NAMES[:2]])
    assert plan.n_missing == 40
    first, second, third = (plan.next_task() for _ in range(3))
    keys = [(task.columns["strategy"], task.columns["round"]) for task in (first, second, third)]
    assert keys == [("gsos", 0), ("simultaneous", 0), ("gsos", 1)]
    plan.tell(row_of(second))
    fourth = plan.next_task()
    assert (fourth.columns["strategy"], fourth.columns["round"], fourth.columns["iteration"]) == ("simultaneous", 0, 1)
    assert plan.n_missing == 39 and list(plan.done) == [("simultaneous", 0, 0)]
    assert plan.next_task().columns["strategy"] == "simultaneous" and plan.next_task() is None  # all are in flight


def test_the_training_seed_goes_with_round_and_iteration():
    options = {"groups": GROUPS["gsos"], "defaults": START, "space": SPACE, "n_iterations": 10}
    seeds = []
    for seed in (0, 1):
        run = Run("random", 0, {}, seed=seed, **options)
        for _ in range(10):
            task = run.next_task()
            seeds.append(task.seed)
            run.tell(row_of(task))
        assert run.n_missing == 0
    assert len(set(seeds)) == 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ["gsso"]}, f"strategy must be one of {', '.join(STRATEGIES)}, not 'gsso'"),
        ({"n_iterations": 0}, "n_iterations must be positive and rounds 0 or more, not 0"),
        ({"rounds": [-1]}, r"rounds 0 or more, not 10 and \[-1\]"),
        ({"n_iterations": 2}, "2 iterations are too few for groups"),
        ({"groups": [["lr"], ["epoch"], ["kernel"]]}, "'num_conv_layers' is in no group"),
        ({"seed": -1}, "seed must not be negative, but is -1"),
        ({"device": "cuda:77"}, "device 'cuda:77' is not there"),
    ],
)
def test_clear_errors(digits, tmp_path, changes, message):
    options = OPTIONS | {"strategies": ["gsos"], "rounds": [0], "store": tmp_path / "trials.journal"} | changes
    with pytest.raises(ValueError, match=message):
        run_strategies(dataset=digits, **options)


def test_records_of_other_images_are_refused(digits, uninterrupted, tmp_path):
    records.export(uninterrupted, tmp_path / "gsos.parquet")
    other = datasets.load("digits", n_train=80)
    with pytest.raises(ValueError, match="study 'gsos' has records of digits with n_train = 60, not 80"):
        run_strategies(NAMES, other, rounds=[0], store=tmp_path / "x.journal", committed=tmp_path, **OPTIONS)


def test_proposals_do_not_depend_on_what_numpy_drew_before(uninterrupted, digits, tmp_path):
    np.random.seed(1)
    frame = run_strategy("gsos", digits, round=0, store=tmp_path / "trials.journal", workers=1, **OPTIONS)
    whole = uninterrupted[(uninterrupted.strategy == "gsos") & (uninterrupted["round"] == 0)]
    assert_same(frame, records.concat([whole]))
