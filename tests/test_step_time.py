"""What is measured is what is said; the seconds themselves are the benchmark's business."""

import pandas as pd
import pytest

from gsos import step_time
from gsos.space import DEFAULTS, SPACES, divide_widths


def test_steps_are_taken_in_turn_and_the_first_is_not_counted(monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr(step_time.time, "perf_counter", lambda: clock["now"])
    order = []

    def step(name, seconds):
        order.append(name)
        clock["now"] += seconds.pop(0)

    a, b = [0.0, 5.0, 3.0, 4.0], [0.0, 7.0, 9.0, 8.0]
    found = step_time.least_seconds({"a": lambda: step("a", a), "b": lambda: step("b", b)}, 3)
    assert order == ["a", "b"] * 4
    assert found.to_dict() == {"a": 3.0, "b": 7.0}


def test_slopes_are_powers():
    sizes = [10, 100, 1000]
    seconds = pd.DataFrame({"linear": [3.0 * n for n in sizes], "square": [n**2.0 for n in sizes]}, index=sizes)
    assert step_time.slopes(seconds).to_dict() == pytest.approx({"linear": 1.0, "square": 2.0})


def test_training_steps_and_updates_are_timed_for_both():
    _, defaults = divide_widths(SPACES["hgd-cifar10"], DEFAULTS["hgd-cifar10"], 64)
    seconds = step_time.of_training(defaults, (1, 8, 8), 2)
    assert list(seconds.index) == ["SGD", "HGD"] and (seconds > 0).all()
    updates = step_time.of_updates([80, 800], 2)
    assert list(updates.index) == [80, 800] and (updates > 0).all(axis=None)


def test_no_more_is_stored_than_the_paper_says():
    assert 0 < step_time.numbers_stored() <= 3
