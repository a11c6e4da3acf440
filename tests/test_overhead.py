"""The clock of proposals beside one that is wound by hand, and the loops of the three libraries."""

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from gsos import overhead
from gsos.overhead import PEERS, Peer, time_growth, time_runs, time_trials
from gsos.space import sample
from gsos.tpe import TPE

EVERY_PEER = pytest.mark.parametrize("peer", PEERS)


def proposals(peer, d, n_trials, seed, n_startup=5):
    """What a peer asks for; its losses are best where x1 is small."""
    configs = []

    def objective(config):
        configs.append(dict(config))
        return config["x1"]

    PEERS[peer].minimise(objective, d, n_trials, seed, n_startup)
    return configs


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when somebody says so."""

    class Clock:
        now = 100.0

        def wait(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(overhead, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(overhead, "sleep", clock.wait)
    return clock


def add_peer(monkeypatch, minimise):
    monkeypatch.setitem(PEERS, "slow", Peer("slow", minimise))
    monkeypatch.setattr(overhead, "_warm_up", lambda peer: None)


def test_seconds_are_split_as_in_eq_8(clock, monkeypatch):
    def minimise(objective, d, n_trials, seed, n_startup):
        clock.wait(7)  # to set up
        for _ in range(n_trials):
            clock.wait(3)  # to ask
            objective({})
            clock.wait(2)  # to tell

    add_peer(monkeypatch, minimise)
    seconds = time_trials("slow", 1, 4, seed=0, delay=0.5)
    assert seconds.tpe.tolist() == [10, 5, 5, 7]  # a loss is taken up before the next proposal; the last after all
    assert seconds.evaluation.tolist() == [0.5] * 4
    assert seconds.tpe.sum() + seconds.evaluation.sum() == clock.now - 100
    runs = time_runs(["slow"], [1, 2], 4, repeats=2, seed=0, delay=0.5)
    assert runs[["d", "repeat"]].to_numpy().tolist() == [[1, 0], [2, 0], [1, 1], [2, 1]]
    assert runs.n_trials.tolist() == [4] * 4
    assert runs.tpe.tolist() == [27] * 4 and runs.iter.tolist() == [29] * 4


def test_growth_is_of_the_proposals_after_the_random_ones(clock, monkeypatch):
    def minimise(objective, d, n_trials, seed, n_startup):
        for i in range(n_trials):
            clock.wait(0.25 if i < n_startup else d * i)
            objective({})

    add_peer(monkeypatch, minimise)
    table = time_growth(["slow"], 2, [10, 30], n_proposals=3, seed=0)
    assert table.to_dict("list") == {"peer": ["slow"] * 2, "d": [2, 2], "n_told": [10, 30], "seconds": [22, 62]}


@EVERY_PEER
def test_every_peer_is_timed_trial_by_trial(peer):
    seconds = time_trials(peer, 2, 18, seed=0, delay=0.002)
    assert seconds.tpe.shape == seconds.evaluation.shape == (18,)
    assert (seconds.tpe > 0).all() and (seconds.evaluation >= 0.002).all()


@EVERY_PEER
def test_losses_are_the_same_for_every_peer_and_do_not_depend_on_x(peer, monkeypatch):
    heard = []
    minimise = PEERS[peer].minimise

    def eavesdrop(objective, *args):
        minimise(lambda config: heard.append(objective(config)) or heard[-1], *args)

    time_trials(peer, 1, 1, seed=0)  # warm
    monkeypatch.setitem(PEERS, peer, Peer("", eavesdrop))
    time_trials(peer, 3, 12, seed=4)
    assert heard == np.random.default_rng(4).random(12).tolist()


@EVERY_PEER
def test_every_peer_proposes_in_eq_10s_space_and_learns(peer):
    configs = proposals(peer, 2, 100, seed=1)
    assert len(configs) == 100 and all(sorted(config) == ["x1", "x2"] for config in configs)
    x1 = np.array([config["x1"] for config in configs])
    assert x1.min() >= 0 and x1.max() <= 1e6
    assert np.median(x1[50:]) < 0.3e6  # of random ones it would be half a million, give or take 70,000


@EVERY_PEER
def test_proposals_follow_from_the_seed_alone(peer):
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    first = proposals(peer, 2, 20, seed=3)
    assert first == proposals(peer, 2, 20, seed=3) != proposals(peer, 2, 20, seed=4)
    if peer.startswith("gsos"):
        assert (np.random.get_state()[1] == before).all()


def test_ours_is_what_a_user_of_tpe_would_get():
    space = {f"x{i}": FloatDistribution(0, 1e6) for i in (1, 2)}
    tpe = TPE(space, n_startup=5, seed=3)
    configs = [tpe.ask()]
    for _ in range(19):
        tpe.tell(configs[-1], configs[-1]["x1"])
        configs.append(tpe.ask())
    assert proposals("gsos", 2, 20, seed=3) == configs
    assert configs[0] == sample(space, np.random.default_rng([3, 0]))


def test_optuna_independent_is_another_sampler():
    one, other = (proposals(peer, 2, 20, seed=3) for peer in ("optuna", "optuna independent"))
    assert one[:5] == other[:5] and one[5:] != other[5:]


@pytest.mark.parametrize(
    ("peer", "d", "n", "message"),
    [
        ("skopt", 1, 5, "peer must be one of gsos, gsos plain, hyperopt, optuna, optuna independent, not 'skopt'"),
        ("gsos", 0, 5, "d and n_trials must be positive, not 0 and 5"),
        ("gsos", 1, 0, "d and n_trials must be positive, not 1 and 0"),
    ],
)
def test_bad_input_is_named(peer, d, n, message):
    with pytest.raises(ValueError, match=message):
        time_trials(peer, d, n, seed=0)
