"""Parallel work, the same on one machine and on a Ray cluster: one single-process pool a worker.

`multiprocessing.Pool` runs it here; `ray.util.multiprocessing.Pool`, which has the same interface, where RAY_ADDRESS is
set. With a pool a worker the coordinator knows who does what: an idle worker gets the next task at once (Ray's pool
hands tasks out in turn, busy or not), and the task of a worker that died is given to another.
"""

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from queue import Empty, Queue
from typing import Any, NamedTuple

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LOOK_AFTER_WORKERS = 1.0  # seconds between two looks at whether the local processes are alive
_PATIENCE = 20.0  # seconds for a pool to end


def on_ray() -> bool:
    """Whether work goes to a Ray cluster."""
    return bool(os.environ.get("RAY_ADDRESS"))


def default_workers() -> int:
    """As many as there are cores, here or in the Ray cluster."""
    return int(_ray().cluster_resources()["CPU"]) if on_ray() else os.cpu_count() or 1


class Pools(NamedTuple):
    """Pools of one process each; the processes themselves where they are local."""

    pools: list
    processes: list


@contextmanager
def open_pools(n: int, initializer: Callable, initargs: tuple) -> Iterator[Pools]:
    """n pools of one process each, closed at the end; where an error ends them, work in flight is lost."""
    if n < 1:
        raise ValueError(f"workers must be at least 1, not {n}")
    if on_ray() and n > default_workers():
        raise ValueError(f"workers = {n} is more than the Ray cluster's {default_workers()} CPUs")
    before = multiprocessing.active_children()
    pools, ends = [], [methodcaller("terminate")]
    try:
        for _ in range(n):
            pools.append(_ray_pool(n, initializer, initargs) if on_ray() else _local_pool(initializer, initargs))
        yield Pools(pools, [] if on_ray() else [p for p in multiprocessing.active_children() if p not in before])
        ends.insert(0, _finish)
    finally:
        # Where a worker was killed while it waited for work, CPython's pool waits for ever for the lock that it held.
        # What is left then ends with this process.
        for end in ends:
            threads = [threading.Thread(target=end, args=(pool,), daemon=True) for pool in pools]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(_PATIENCE)


def _finish(pool) -> None:
    """Lets a pool's process end by itself."""
    pool.close()
    pool.join()


def _local_pool(initializer: Callable, initargs: tuple):
    context = multiprocessing.get_context("forkserver")  # never a copy of a process that has threads or a CUDA context
    # What takes seconds to import is imported once, not once a worker: PyTorch, and what its first optimizer needs
    first_optimizer = ["torch._dynamo"] if "torch" in sys.modules else []
    context.set_forkserver_preload([initializer.__module__, *first_optimizer])
    return context.Pool(1, _start_worker, (initializer, initargs))


def _start_worker(initializer: Callable, initargs: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the coordinator's business
    _keep_freed_memory()
    initializer(*initargs)


def _keep_freed_memory() -> None:
    """glibc returns the memory of a batch's feature maps to the system and faults it in again for the next batch;
    told to keep it, a worker trains 28 x 28 images 5-10 % faster. Elsewhere nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            mallopt(parameter, 2**30)


def _ray_pool(n: int, initializer: Callable, initargs: tuple):
    from ray.util.multiprocessing import Pool

    n_gpus = _ray().cluster_resources().get("GPU", 0)
    share = min(1.0, n_gpus / n // 1e-4 * 1e-4)  # Ray counts in ten-thousandths; workers may share a GPU
    options = {"num_cpus": 1, "num_gpus": share, "scheduling_strategy": "SPREAD"}
    return Pool(1, initializer, initargs, ray_remote_args=options)


def _ray():
    """The ray module, connected to the cluster of RAY_ADDRESS."""
    import ray  # seconds that only a cluster is worth

    if not ray.is_initialized():
        _check_address(os.environ["RAY_ADDRESS"])
        ray.init(log_to_driver=False)
    return ray


def _check_address(address: str) -> None:
    """Raises ConnectionError where nothing listens: Ray itself would try for many minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise ConnectionError(f"no Ray cluster answers at RAY_ADDRESS={address} ({error})") from error


def run(function: Callable, next_task: Callable[[], Any], pools: Pools) -> Iterator[tuple[Any, Any]]:
    """(task, function(task)) as they finish; no order is promised.

    next_task is called whenever a worker is idle and gives a task, or None while there is none; it sees what the
    caller made of the results so far. It ends when there is no task and nothing runs.
    A task whose Ray node died goes to another worker; RuntimeError when a local process died or no worker is left.
    """
    idle, running, lost = list(pools.pools), {}, []
    outcomes: Queue[tuple[int, Any, BaseException | None]] = Queue()
    n_started = 0
    while True:
        while idle and (task := lost.pop() if lost else next_task()) is not None:
            pool = idle.pop()
            running[n_started] = pool, task
            pool.apply_async(
                function,
                (task,),
                callback=lambda result, i=n_started: outcomes.put((i, result, None)),
                error_callback=lambda error, i=n_started: outcomes.put((i, None, error)),
            )
            n_started += 1
        if not running:
            return
        if not all(process.is_alive() for process in pools.processes):
            raise RuntimeError(
                "a worker process died (killed, or out of memory: try fewer workers). "
                "What had finished is recorded; run the same command again"
            )
        try:
            i, result, error = outcomes.get(timeout=_LOOK_AFTER_WORKERS)
        except Empty:
            continue
        pool, task = running.pop(i)
        if error is None:
            idle.append(pool)
            yield task, result
        elif on_ray() and isinstance(error, _ray().exceptions.RayError):
            lost.append(task)
            if not idle and not running:
                raise RuntimeError("no worker is left: every Ray node that had one is gone") from error
        else:
            raise error
