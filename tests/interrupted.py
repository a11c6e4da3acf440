"""`python interrupted.py STORE N TIMES`: a study of digits with N records is run and killed at a random moment, TIMES
times; prints how often there was a run to kill.

A run is a process in a session of its own, with a fork server and workers of its own, as anyone's is; but all are forks
of this process, which has imported everything: each would take 6 s of a CPU to start cold.
"""

import multiprocessing
import os
import random
import signal
import sys
import time
from itertools import pairwise
from multiprocessing import util
from pathlib import Path

from gsos import datasets
from gsos.collect import collect


def n_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def fork_passfds(path, arguments, descriptors):
    """In place of `multiprocessing.util.spawnv_passfds`: `python -c code` with these files open, as a fork."""
    if pid := os.fork():
        return pid
    try:
        for low, high in pairwise([2, *sorted(descriptors), 1024]):
            os.closerange(low + 1, high)
        exec(arguments[-1], {})
    finally:
        os._exit(0)


def run(store, n):
    os.setsid()
    util.spawnv_passfds = fork_passfds
    collect(datasets.load("digits", n_train=60), n, store=store, workers=2, device="cpu")


def run_and_kill(store, n, rng, with_workers):
    """Whether it was still at work."""
    process = multiprocessing.get_context("fork").Process(target=run, args=(store, n))
    process.start()
    enough = n_lines(store) + rng.randint(1, 4)
    while process.is_alive() and n_lines(store) < enough:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.05))
    if at_work := process.is_alive():
        (os.killpg if with_workers else os.kill)(process.pid, signal.SIGKILL)
    process.join()
    return at_work


if __name__ == "__main__":
    import torch._dynamo  # noqa: F401  # as the fork server would

    store, n, times = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(0)
    print(sum(run_and_kill(store, n, rng, with_workers=i % 2 == 1) for i in range(times)))
