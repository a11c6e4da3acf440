"""Worker processes that die. What they do while they live is tested with those who use them."""

import os
import signal
import subprocess
import sys

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
