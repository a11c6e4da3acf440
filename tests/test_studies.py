"""What a notebook asks for beside its main study."""

import pandas as pd
import pytest

from gsos import profiles, studies
from gsos.space import DEFAULTS

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
