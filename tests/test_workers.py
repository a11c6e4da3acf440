"""How worker processes end. What they do while they live is tested with those who use them."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing.util import Finalize
from pathlib import Path

import pytest

from gsos import workers

IDLE_WORKER_KILLED = """
import os, signal, time
from gsos import workers

workers._PATIENCE = 1.0
if __name__ == "__main__":
    with workers.open_pools(2, abs, (0,)) as pools:
        pools.pools[0].apply(abs, (1,))
        os.kill(pools.processes[0].pid, signal.SIGKILL)
        time.sleep(0.5)
        tasks = iter(range(10))
        try:
            list(workers.run(abs, lambda: next(tasks, None), pools))
        except RuntimeError as error:
            print(error)
"""


def test_a_worker_killed_while_it_is_idle_does_not_hang_the_pool(tmp_path):
    """It holds the lock of its pool's queue, for which CPython's own end of a pool waits."""
    script = tmp_path / "idle.py"
    script.write_text(IDLE_WORKER_KILLED)
    process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and "a worker process died" in output, output
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def tidy_up_later(folder):
    """In a worker: leaves a file when the process ends by itself, not when it is terminated."""
    Finalize(None, Path(folder, str(os.getpid())).touch, exitpriority=1)


def work(seconds):
    if seconds < 0:
        raise ValueError("seconds must not be negative")
    time.sleep(seconds)
    return os.getpid()


def test_workers_end_by_themselves_after_success(tmp_path):
    with workers.open_pools(2, tidy_up_later, (tmp_path,)) as pools:
        tasks = iter([0.2, 0.2])
        did = {pid for _, pid in workers.run(work, lambda: next(tasks, None), pools)}
    assert len(did) == 2 and {int(path.name) for path in tmp_path.iterdir()} == did
    assert not any(process.is_alive() for process in pools.processes)


def test_workers_are_terminated_after_an_error(tmp_path):
    start, tasks = time.monotonic(), iter([30, -1])
    with (
        pytest.raises(ValueError, match="must not be negative"),
        workers.open_pools(2, tidy_up_later, (tmp_path,)) as pools,
    ):
        list(workers.run(work, lambda: next(tasks, None), pools))
    assert time.monotonic() - start < 15  # the task of 30 s is not waited for
    assert not any(process.is_alive() for process in pools.processes)
    assert len(list(tmp_path.iterdir())) < 2  # the one at work did not end by itself
