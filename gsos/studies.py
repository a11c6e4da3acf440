"""What a notebook asks for: the records of a study at a profile's sizes, stored ones read and missing ones trained."""

from collections.abc import Mapping

import pandas as pd

from gsos import published, records
from gsos.paths import DATA, RUNS


def hia_records(
    profile: str,
    size: Mapping[str, object],
    *,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
) -> pd.DataFrame:
    """The records of HIA's study at a profile's sizes (`profiles.sizes`): what is stored, and what is missing trained.

    "recorded" trains nothing and reads data/records/hia; "workstation" and "paper" take up what is committed there.
    Running studies live in runs/<profile>, where the records are also written to records/hia.parquet.
    """
    folder = DATA / "records" / "hia"
    if profile == "recorded":
        return records.select(records.load(folder), size["study"], size["datasets"])
    from gsos.collect import collect  # with PyTorch, which reading records does not need
    from gsos.datasets import load

    committed = folder if profile in ("workstation", "paper") else None
    options = {"study": size["study"], "workers": workers, "device": device, "seed": seed, "committed": committed}
    published_amounts = published.table("hia_figure_2").set_index("name").amount
    frames = []
    for name in size["datasets"]:
        images = load(name, n_train=size["n_train"], size=size["image_size"], seed=seed)
        n = int(published_amounts.get(name, 1000)) if size["n_models"] is None else size["n_models"]
        frames.append(collect(images, n, store=RUNS / profile / "trials.journal", **options))
    frame = records.concat(frames)
    records.export(frame, RUNS / profile / "records" / "hia.parquet")
    return frame
