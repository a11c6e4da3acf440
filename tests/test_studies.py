"""What a notebook asks for beside its main study."""

import pandas as pd
import pytest

from gsos import datasets, profiles, sensitivity, studies
from gsos.importance import assess
from gsos.schedulers import CASES
from gsos.space import ASSESSED, DEFAULTS, GROUPS

FILTERS = [f"num_filters_{i}" for i in (1, 2, 3)]


def test_in_the_filter_study_only_filters_vary(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "RUNS", tmp_path)
    size = profiles.sizes("02", "smoke", n_filter_models=3, n_train=60)
    frame = studies.filter_records("smoke", size, device="cpu", workers=1)
    assert frame.num_conv_layers.value_counts().to_dict() == {2: 3, 3: 3}
    fixed = [name for name in DEFAULTS["hia"] if name not in [*FILTERS, "num_conv_layers"]]
    for name in fixed:
        assert (frame[name] == DEFAULTS["hia"][name]).all(), name
    two, three = (frame[frame.num_conv_layers == layers].reset_index(drop=True) for layers in (2, 3))
    assert two.num_filters_3.isna().all() and three[FILTERS].notna().all(axis=None)
    assert two.num_filters_1.equals(three.num_filters_1) and two.num_filters_1.nunique() > 1  # paired
    again = studies.filter_records("smoke", size, device="cpu", workers=2)
    pd.testing.assert_frame_equal(again, frame)  # read, not trained again
    written = pd.read_parquet(tmp_path / "smoke" / "records" / "hia-filters.parquet")
    assert len(written) == len(frame)


def test_committed_filter_studies_are_read():
    frame = studies.filter_records("recorded", {"study": "hia-quick"})
    assert set(frame.study) == {"hia-quick-filters-2", "hia-quick-filters-3"} and len(frame) == 200
    with pytest.raises(ValueError, match="there are no records of study 'hia-none-filters-2'"):
        studies.filter_records("recorded", {"study": "hia-none"})


def test_controls_run_where_they_are_asked_for_and_the_unscaled_study_beside_them(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "RUNS", tmp_path)
    asked = {
        "n_train": 60,
        "n_valid": 30,
        "n_rounds": 1,
        "n_iterations": 4,
        "datasets": ("digits", "fashion_mnist_sample"),
    }
    asked |= {"controls": ("random",), "control_datasets": ("digits",), "unscaled_datasets": ("digits",)}
    size = profiles.sizes("04", "smoke", **asked, strategies=("simultaneous", "gsos", "epoch schedule"))
    frame = studies.gsos_records("smoke", size, device="cpu", workers=2)
    ran = frame.groupby("dataset").strategy.unique().map(set).to_dict()
    assert ran == {"digits": {*size["strategies"], "random"}, "fashion_mnist_sample": set(size["strategies"])}
    assert (frame.n_valid == 30).all() and frame.epoch.between(2, 20).all()
    whole = studies.unscaled_records("smoke", size, device="cpu", workers=2)
    assert set(whole.study) == {"gsos-smoke-unscaled"} and set(whole.dataset) == {"digits"}
    assert set(whole.strategy) == {"simultaneous", "gsos"} and whole.epoch.between(10, 100).all()
    assert studies.unscaled_records("smoke", profiles.sizes("04", "smoke")) is None
    assert studies.unscaled_records("recorded", {"study": "gsos-quick"}) is None


def test_the_calibrated_groups_follow_from_the_committed_records():
    """Calibrated RReliefF's order in HIA's study, without the number of input channels, cut as the paper's groups."""
    frame = studies.hia_records("recorded", {"study": "hia-workstation", "datasets": None})
    weights = assess(frame, ASSESSED, "calibrated").table.weight.drop("in_channel_num")
    order = weights.sort_values(ascending=False).index.tolist()
    assert GROUPS["calibrated"] == [order[:3], order[3:7], order[7:]]


def test_settings_are_tried_as_the_committed_rows_say(tmp_path, monkeypatch):
    """The same settings, networks and epochs; smaller profiles read the rows."""
    asked = []

    def run_settings(images, tried, *, case, n_networks, n_epochs, width_divisor, **_):
        asked.append((tried, case, n_networks, n_epochs, width_divisor))
        return pd.DataFrame({"case": [case]})

    monkeypatch.setattr(studies, "RUNS", tmp_path)
    monkeypatch.setattr(datasets, "load", lambda name, **options: (name, options))
    monkeypatch.setattr(sensitivity, "run_settings", run_settings)
    assert studies.settings_records("workstation").case.tolist() == list(CASES)
    committed = studies.settings_records("quick")
    for tried, case, *counts in asked:
        rows = committed[committed.case == case]
        assert set(map(tuple, rows[sensitivity.SETTING].to_numpy())) == set(tried) and len(set(tried)) == len(tried)
        assert counts == [rows.network.nunique(), rows.epoch.max(), rows.width_divisor.iloc[0]]
