"""Worker processes that run datatrove tasks: the pool in the parent, and `serve`, which each worker runs.

A worker reads jobs from its standard input, one JSON line each, and answers each with one line. When its input ends, it
exits immediately, even in the middle of a task: so no worker outlives its parent, even one that was killed.

loky is not used: after its parent was killed, a worker in the middle of a task runs on (20 s later it still did,
loky 3.7.0) and writes the files that the next call writes too. `concurrent.futures` needs `if __name__ == "__main__"` in
people's scripts.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SERVE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sagechain.pretraining.data.executors.workers import serve; serve()"
)


def quiet_datatrove() -> None:
    """Turn off datatrove's log on standard error, for which 0.10.1 has no option. Its log files stay."""
    import datatrove.utils.logging as logging

    if not isinstance(logging.sys, SimpleNamespace):
        logging.sys = SimpleNamespace(stderr=lambda message: None)
        logging.setup_default_logger()


def run_task(engine: Any, rank: int) -> str:
    """Run one task of a datatrove executor in this process and return its error, "" if there was none."""
    task = deepcopy(engine)  # steps contain their statistics, so each task needs its own
    try:
        task._run_for_rank(rank)
    except Exception as error:  # noqa: BLE001 - any error of a step is reported, with the task's log
        return f"{type(error).__name__}: {error}"
    return ""


class WorkerPool:
    """Up to `size` worker processes that stay between passes, until `close`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._workers: list[_Worker] = []

    def close(self) -> None:
        """End the processes immediately."""
        for worker in self._workers:
            worker.kill()
            worker.close()
        self._workers = []

    def run(self, engine: Any, ranks: list[int], folder: Path, on_end: Callable[[int, str], None]) -> None:
        """Run tasks in the workers.

        Args:
            folder: for the pickled executor.
            on_end: called from this thread with the rank and the error of each task that ended ("" for no error). If it
                raises, all workers are killed.
        """
        import dill  # type: ignore[import-untyped]

        pickled = folder / "executor.pik"
        pickled.write_bytes(dill.dumps(engine))
        while len(self._workers) < min(self._size, len(ranks)):
            self._workers.append(_Worker())
        idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            idle.put(worker)

        def run_in_worker(rank: int) -> str:
            worker = idle.get()
            error = worker.run(pickled, rank)
            idle.put(worker)
            return error

        with ThreadPoolExecutor(len(self._workers)) as threads:
            futures = {threads.submit(run_in_worker, rank): rank for rank in ranks}
            try:
                for future in as_completed(futures):
                    on_end(futures[future], future.result())
            except BaseException:
                for worker in self._workers:
                    worker.kill()  # ends the threads that wait for answers
                threads.shutdown(cancel_futures=True)
                self.close()
                raise


class _Worker:
    """One worker process."""

    def __init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        # A separate session: Ctrl-C reaches only the parent, which then kills the workers.
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )

    def run(self, pickled: Path, rank: int) -> str:
        """Run a task and return its error, "" if there was none."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps([str(pickled), rank]).encode() + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        return str(json.loads(answer)) if answer else self._death()

    def kill(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipes, which no thread may still read."""
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):  # a job that the worker did not live to read
            self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()

    def _death(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        hint = "; the system may have run out of memory" if code == -9 else ""
        return f"the worker process ended with code {code}{hint}{': ' + lines[-1] if lines else ''}"


def serve() -> None:
    """Answer jobs until the input ends. Steps print to standard error, because the answers use standard output."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(jobs,), daemon=True).start()
    quiet_datatrove()
    while True:
        pickled, rank = jobs.get()
        answers.write(json.dumps(_run_pickled(pickled, rank)) + "\n")
        answers.flush()


def _receive(jobs: "queue.SimpleQueue[tuple[str, int]]") -> None:
    """Queue the jobs, and end the process with its input."""
    for line in sys.stdin.buffer:
        jobs.put(tuple(json.loads(line)))
    os._exit(0)


def _run_pickled(pickled: str, rank: int) -> str:
    import dill

    try:
        engine = dill.loads(Path(pickled).read_bytes())
    except Exception as error:  # noqa: BLE001 - such as a step whose module cannot be imported here
        return f"the steps cannot be loaded in a worker: {type(error).__name__}: {error}"
    return run_task(engine, rank)
