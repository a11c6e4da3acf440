"""HGD's experiments: what they search and start with, what they report, when they end. Without Ray's processes."""

import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from ray.tune.experiment import Trial
from scipy import stats

from gsos import schedulers
from gsos.cnn import build_cnn
from gsos.schedulers import (
    ALGORITHMS,
    ALPHA_0,
    BETA,
    CASES,
    CONSTANTS,
    ETA,
    GAMMA_0,
    POPULATION_BASED,
    VARIANTS,
    Clip,
    Experiment,
    Reports,
    first_configurations,
    fixed,
    searched,
    settings,
)
from gsos.space import check_config
from gsos.trainable import NETWORK

SIZES = NETWORK[:-1]
SEARCHING = ("sgd", "sgd log")  # the variants that search lr and momentum
ASHA = Experiment("hgd-cifar10", "digits", "asha", "sgd", 0, 5.0, 9, 4, 11)


def experiments(**changes):
    return [
        ASHA._replace(case=case, algorithm=algorithm, variant=variant, **changes)
        for case in CASES
        for algorithm in ALGORITHMS
        for variant in VARIANTS
    ]


def test_what_the_paper_compares_is_there():
    assert list(ALGORITHMS) == ["asha", "ahb", "genetic", "hyperband", "pbt", "pb2"]
    assert {"sgd", "hgd", "fixed"} <= set(VARIANTS)
    assert schedulers.GENERATION <= 10 and schedulers.BRACKETS > 1


@pytest.mark.parametrize("experiment", experiments(), ids=lambda e: e.name)
def test_only_sgd_searches_lr_and_momentum(experiment):
    space = searched(experiment)
    sizes = {"log2_batch_size" if experiment.algorithm == "pb2" else "batch_size", *SIZES}
    rates = {"lr", "momentum"} if experiment.variant in SEARCHING else set()
    assert set(space) == sizes | rates
    if rates:  # HGD T2
        assert space["lr"] == FloatDistribution(1e-5, 0.2, log=experiment.variant == "sgd log")
        assert space["momentum"] == FloatDistribution(0.7, 0.99)


def test_pb2_searches_the_same_batch_sizes():
    for case, ends in zip(CASES, [(4, 64), (32, 256)], strict=True):  # HGD T2
        distribution = searched(ASHA._replace(case=case, algorithm="pb2"))["log2_batch_size"]
        assert distribution == FloatDistribution(*np.log2(ends))


def test_what_is_not_searched_is_fixed():
    for experiment in experiments():
        common = fixed(experiment)
        assert common["optimizer"] == ("hgd" if experiment.variant in ("hgd", "hgd reset") else "sgd")
        if experiment.variant == "fixed":  # the fair control
            assert CONSTANTS.items() <= common.items()
        if common["optimizer"] == "hgd":
            assert (common["lr"], common["momentum"]) == (ALPHA_0, GAMMA_0)
            assert (common["hyper_lr"], common["hyper_momentum_lr"]) == (BETA, ETA)
        config = common | first_configurations(experiment)[0]
        assert build_cnn(config | {"batch_size": 4}, (1, 8, 8), 10)[-1].out_features == 10  # nothing is missing


def test_all_algorithms_and_variants_of_a_run_start_with_the_same_networks_and_batch_sizes():
    def networks(experiment):
        configs = pd.DataFrame(first_configurations(experiment)[:50])
        if experiment.algorithm == "pb2":
            configs["batch_size"] = (2 ** configs.pop("log2_batch_size")).round().astype(int)
        return configs[list(NETWORK)]

    for case in CASES:
        expected = networks(ASHA._replace(case=case))
        assert len(expected.drop_duplicates()) > 40
        for experiment in experiments():
            if experiment.case == case:
                pd.testing.assert_frame_equal(networks(experiment), expected)
    assert not networks(ASHA._replace(seed=12)).equals(networks(ASHA))


def test_first_configurations_lie_in_the_space_and_rates_do_not_depend_on_the_algorithm():
    for experiment in experiments():
        for config in first_configurations(experiment)[:20]:
            check_config(config, searched(experiment))
    rates = [[(c["lr"], c["momentum"]) for c in first_configurations(ASHA._replace(algorithm=a))] for a in ALGORITHMS]
    assert all(rate == rates[0] for rate in rates)


@pytest.mark.parametrize("variant", SEARCHING)
def test_lr_is_drawn_uniformly_or_log_uniformly(variant):
    lr = np.array([config["lr"] for config in first_configurations(ASHA._replace(variant=variant))])
    assert len(lr) == 1000
    x, low, high = (np.log10(v) for v in (lr, 1e-5, 0.2)) if variant == "sgd log" else (lr, 1e-5, 0.2)
    assert stats.kstest(x, "uniform", (low, high - low)).pvalue > 1e-3


@pytest.mark.parametrize("variant", SEARCHING)
def test_what_tune_draws_afterwards_has_the_same_domains(variant):
    """Beyond the first configurations, and where PBT draws anew."""
    for name, distribution in searched(ASHA._replace(variant=variant)).items():
        domain = schedulers._domain(distribution)
        values = domain.sample(size=400, random_state=np.random.RandomState(0))
        if isinstance(distribution, CategoricalDistribution):
            assert set(values) == set(distribution.choices)
        else:
            x, ends = np.array(values), (distribution.low, distribution.high)
            if distribution.log:
                x, ends = np.log(x), np.log(ends)
            assert stats.kstest(x, "uniform", (ends[0], ends[1] - ends[0])).pvalue > 1e-3, name


def test_networks_fit_their_divisor():
    narrow, wide = (searched(ASHA._replace(width_divisor=divisor)) for divisor in (8, 1))
    assert narrow["num_fc_units_1"].choices == (16, 32, 64, 128, 256)  # 128 to 2048 (HGD T2) / 8
    assert narrow["num_filters_1"].choices == (4, 8, 16, 32, 64)  # 4 to 512 / 8, and none below 4
    assert wide["num_filters_1"].choices == (4, 8, 16, 32, 64, 128, 256, 512)


def test_clip_keeps_a_configuration_in_its_domains():
    clip = Clip({"lr": (1e-5, 0.2), "momentum": (0.7, 0.99)})
    assert clip({"lr": 0.24, "momentum": 0.6, "batch_size": 64}) == {"lr": 0.2, "momentum": 0.7, "batch_size": 64}
    assert clip({"lr": 0.1, "momentum": 0.99}) == {"lr": 0.1, "momentum": 0.99}


@pytest.mark.parametrize("algorithm", POPULATION_BASED)
def test_populations_stay_in_their_domains(algorithm):
    experiment = ASHA._replace(algorithm=algorithm)
    scheduler = schedulers._scheduler(experiment)
    far = {"lr": 7.0, "momentum": 0.0, "batch_size": 64, "log2_batch_size": 9.0}
    near = {"lr": 0.2, "momentum": 0.7, "batch_size": 64, "log2_batch_size": 6.0}
    names = far.keys() & searched(experiment)
    config = scheduler._custom_explore_fn({name: far[name] for name in names})
    assert config == {name: near[name] for name in names}


class Model:
    """What schedulers ask of a trial."""

    def __init__(self, name, status, last=-float("inf")):  # as in Tune, before its first report
        self.name, self.status = name, status
        self.run_metadata = SimpleNamespace(last_result_time=last)

    def is_finished(self):
        return self.status in (Trial.ERROR, Trial.TERMINATED)


@pytest.mark.parametrize("algorithm", POPULATION_BASED)
def test_a_population_trains_in_turn(algorithm):
    models = [Model("a", Trial.PAUSED, 5.0), Model("b", Trial.RUNNING, 1.0), Model("c", Trial.PAUSED, 3.0)]
    models += [Model("d", Trial.PENDING), Model("e", Trial.PENDING), Model("f", Trial.TERMINATED, 0.0)]
    scheduler = schedulers._scheduler(ASHA._replace(algorithm=algorithm))
    order = []
    while chosen := scheduler.choose_trial_to_run(SimpleNamespace(get_trials=lambda: models)):
        order.append(chosen.name)
        chosen.status = Trial.RUNNING
    assert order == ["d", "e", "c", "a"]


def test_hyperband_does_not_wait_for_models_that_ended_before_an_interruption():
    scheduler = schedulers._scheduler(ASHA._replace(algorithm="hyperband"))
    scheduler.set_search_properties("validation_accuracy", "max")
    for name, status in (("a", Trial.TERMINATED), ("b", Trial.PENDING), ("c", Trial.ERROR), ("d", Trial.PAUSED)):
        scheduler.on_trial_add(None, Model(name, status))
    ((bracket,),) = scheduler._hyperbands
    assert [model.name for model in bracket.current_trials()] == ["b", "d"]


def test_settings_are_the_constants():
    table = settings()
    assert table.value.to_dict()["alpha_0"] == ALPHA_0
    assert table.value.to_dict()["fixed lr"] == CONSTANTS["lr"]
    assert table.value.to_dict()["models at a time"] == 1
    assert table.meaning.str.len().min() > 10


def test_bad_input_is_named():
    for field, wrong, message in (
        ("case", "hgd", "case must be one of hgd-cifar10, hgd-cifar100, not 'hgd'"),
        ("algorithm", "bohb", "algorithm must be one of asha, ahb, genetic, hyperband, pbt, pb2, not 'bohb'"),
        ("variant", "adam", "variant must be one of sgd, hgd, fixed, sgd log, hgd reset, not 'adam'"),
        ("run", -1, "run must be at least 0, not -1"),
        ("max_epochs", 2, "max_epochs must be at least 3, not 2"),
        ("width_divisor", 0, "width_divisor must be at least 1, not 0"),
        ("seed", -5, "seed must be at least 0, not -5"),
        ("budget", 0, "budget must be a positive number of seconds, not 0"),
        ("budget", float("nan"), "budget must be a positive number of seconds, not nan"),
        ("budget", float("inf"), "budget must be a positive number of seconds, not inf"),
    ):
        with pytest.raises(ValueError) as error:
            schedulers.run_experiment(ASHA._replace(**{field: wrong}), (), "nowhere")
        assert str(error.value) == message


def test_names_tell_experiments_apart():
    names = [experiment.name for run in (0, 1) for experiment in experiments(run=run)]
    assert len(set(names)) == len(names) and not any(" " in name or "/" in name for name in names)


def test_what_other_settings_left_is_not_taken_up(monkeypatch):
    images = np.arange(12, dtype=np.uint8)
    checksum = schedulers._checksum(ASHA, ("digits", images))
    assert checksum == schedulers._checksum(ASHA._replace(), ("digits", images.copy()))
    others = [schedulers._checksum(ASHA._replace(budget=6.0), ("digits", images))]
    others += [schedulers._checksum(ASHA._replace(seed=1), ("digits", images))]
    others += [schedulers._checksum(ASHA, ("digits", images[::-1]))]
    monkeypatch.setattr(schedulers, "ALPHA_0", 0.123)
    others += [schedulers._checksum(ASHA, ("digits", images))]
    assert checksum not in others


class Experimenter:
    """Stands in for Tune: hands results to Reports."""

    def __init__(self, path, **changes):
        self.path = path / "reports.parquet"
        self.reports = Reports(ASHA._replace(**changes), self.path)

    def report(self, trial, epoch, copied_from="", seconds=1.0, state="complete", accuracy=0.5):
        sizes = dict.fromkeys(SIZES, 4) | {"batch_size": 32, "multiply_adds": 10}
        result = sizes | {"epoch": epoch, "training_iteration": epoch, "copied_from": copied_from, "state": state}
        result |= {"loss": 1.0, "validation_accuracy": accuracy, "lr": 0.1, "momentum": 0.9, "images": 100}
        result |= {"error": "no memory"}
        return self.reports(trial, result | {"train_seconds": seconds})

    def interrupt(self):
        """What Tune stores and reads again."""
        self.reports = pickle.loads(pickle.dumps(self.reports))

    @property
    def written(self):
        return pd.read_parquet(self.path)


def test_reports_add_up_until_the_budget_is_spent(tmp_path):
    tune = Experimenter(tmp_path, budget=5.0)
    for trial, epoch, seconds in (("x7", 1, 1.0), ("b2", 1, 1.5), ("x7", 2, 2.0)):
        assert tune.report(trial, epoch, seconds=seconds) is False and tune.reports.stop_all() is False
        assert not tune.path.exists()
    tune.report("c1", 1, seconds=0.5)
    assert tune.reports.stop_all() is True
    frame = tune.written
    assert frame.trial.tolist() == [0, 1, 0, 2] and frame.epoch.tolist() == [1, 1, 2, 1]
    assert frame.train_seconds.tolist() == [1.0, 2.5, 4.5, 5.0]
    assert frame.images.tolist() == [100, 200, 300, 400]
    assert frame.seconds.is_monotonic_increasing and 0 <= frame.seconds.iloc[0] < 5
    assert set(frame.copied_from) == {-1}
    assert [path.name for path in tmp_path.iterdir()] == ["reports.parquet"]


def test_failures_in_a_row_end_an_experiment_whose_budget_they_do_not_spend(tmp_path):
    tune = Experimenter(tmp_path)
    for i in range(19):
        tune.report(f"x{i}", 1, seconds=0.0, state="failed")
    tune.report("good", 1, seconds=0.1)
    for i in range(19):
        tune.report(f"y{i}", 1, seconds=0.0, state="failed")
    with pytest.raises(RuntimeError, match="20 models in a row could not be trained: no memory"):
        tune.report("last", 1, seconds=0.0, state="failed")


def test_a_copy_names_its_source_by_number(tmp_path):
    tune = Experimenter(tmp_path, budget=3.0, algorithm="pbt")
    tune.report("x7", 1)
    tune.report("b2", 1)
    tune.report("x7", 2, copied_from="b2")
    assert tune.written.copied_from.tolist() == [-1, -1, 1]


@pytest.mark.parametrize("state", ["diverged", "failed"])
def test_a_bad_epoch_ends_a_model_but_not_one_of_a_population(tmp_path, state):
    for algorithm in ALGORITHMS:
        tune = Experimenter(tmp_path, algorithm=algorithm)
        assert tune.report("a", 1, state=state, accuracy=0.0) is (algorithm not in POPULATION_BASED)


def test_a_model_of_the_genetic_algorithm_is_trained_for_a_third_of_the_epochs(tmp_path):
    tune = Experimenter(tmp_path, algorithm="genetic", max_epochs=9)
    assert [tune.report("a", epoch) for epoch in (1, 2, 3)] == [False, False, True]
    asha = Experimenter(tmp_path, algorithm="asha", max_epochs=9)
    assert not asha.report("a", 9)  # its scheduler ends it


def test_after_an_interruption_nothing_is_reported_or_counted_twice(tmp_path):
    tune = Experimenter(tmp_path, budget=7.5)
    for trial, epoch in (("a", 1), ("a", 2), ("b", 1), ("b", 2)):
        tune.report(trial, epoch, seconds=1.0)
    tune.interrupt()
    tune.report("b", 1, seconds=1.2)  # it had no checkpoint: trained again
    tune.report("b", 2, seconds=1.2)
    tune.report("b", 3, seconds=1.2)
    tune.report("c", 1, seconds=1.2)
    assert not tune.reports.stop_all()
    tune.report("a", 3, seconds=1.2)
    frame = tune.written
    assert list(zip(frame.trial, frame.epoch, strict=True)) == [
        (0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (2, 1), (0, 3)
    ]  # fmt: skip
    assert frame.train_seconds.to_numpy() == pytest.approx([1, 2, 3, 4, 5.2, 6.4, 7.6])
    assert frame.images.tolist() == [100, 200, 300, 400, 500, 600, 700]
    assert frame.seconds.is_monotonic_increasing


def test_after_an_interruption_a_new_copy_is_reported(tmp_path):
    tune = Experimenter(tmp_path, budget=9.0, algorithm="pbt")
    for trial, epoch, source in (("a", 1, ""), ("b", 1, ""), ("b", 2, ""), ("b", 3, ""), ("b", 2, "a"), ("b", 3, "")):
        tune.report(trial, epoch, source)
    tune.interrupt()
    tune.report("b", 2, "a")  # its checkpoint was the one that it took over
    tune.report("b", 3)
    tune.report("b", 4)
    tune.report("b", 2, "a")  # copies again, and trains with other settings
    tune.report("b", 3)
    assert tune.written.epoch.tolist() == [1, 1, 2, 3, 2, 3, 4, 2, 3]


def test_the_clock_stands_still_while_an_experiment_is_interrupted(tmp_path, monkeypatch):
    now = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr(schedulers, "time", now)
    clock = [100.0]
    tune = Experimenter(tmp_path, budget=2.0)
    clock[0] = 103.0
    tune.report("a", 1)
    clock[0] = 104.0
    stored = pickle.dumps(tune.reports)
    clock[0] = 5.0  # of another start of the machine
    tune.reports = pickle.loads(stored)
    clock[0] = 7.0
    tune.report("a", 2)
    assert tune.written.seconds.tolist() == [3.0, 6.0]
