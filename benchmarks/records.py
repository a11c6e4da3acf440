"""Milliseconds to store one record, in a journal file and in SQLite, beside one that is already large; one run.

python benchmarks/records.py [--rows 3000]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from gsos import records
from gsos.paths import DATA
from gsos.space import SPACES


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3000)
    n = parser.parse_args().rows
    frame = records.load(DATA / "records" / "hia" / "quick.parquet").astype(object)
    rows = frame.where(frame.notna(), None).to_dict("records")
    print("store     first 100   last 100   (ms a record, median)   load all (s)")
    with tempfile.TemporaryDirectory() as folder:
        for name, store in (("journal", Path(folder) / "trials.journal"), ("SQLite", f"sqlite:///{folder}/trials.db")):
            study = records.open_study(records.open_storage(store), "benchmark")
            times = []
            for i in range(n):
                row = rows[i % len(rows)] | {"strategy": "random", "dataset": "benchmark", "iteration": i}
                start = time.perf_counter()
                records.add(study, row, SPACES["hia"])
                times.append(1000 * (time.perf_counter() - start))
            start = time.perf_counter()
            assert len(records.load(store)) == n
            seconds = time.perf_counter() - start
            print(f"{name:<9}{np.median(times[:100]):10.2f}{np.median(times[-100:]):11.2f}{'':>25}{seconds:15.1f}")


if __name__ == "__main__":
    main()
