"""Worker processes that run datatrove tasks: the pool in the parent, and `serve`, which each worker runs.

A worker reads jobs from its standard input, one JSON line each, and answers each with one line. When its input ends, it
ends at once, in the middle of a task if need be: so no worker outlives its parent, even one that was killed.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SERVE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from sagechain.pretraining.data.workers import serve; serve()"
)

Ended = tuple[int, str]  # a task's rank, and what went wrong with it ("" if nothing did)


def quiet_datatrove() -> None:
    """datatrove 0.10.1 logs to standard error from every process and has no switch for it. Its log files stay."""
    import datatrove.utils.logging as logging

    if not isinstance(logging.sys, SimpleNamespace):
        logging.sys = SimpleNamespace(stderr=lambda message: None)
        logging.setup_default_logger()


def run_task(engine: Any, rank: int) -> str:
    """Run one task of a datatrove executor in this process, and return what went wrong with it, "" if nothing did."""
    task = deepcopy(engine)  # steps keep their statistics, so each task has its own
    try:
        task._run_for_rank(rank)
    except Exception as error:  # noqa: BLE001 - whatever a step raises is told, with the task's log
        return f"{type(error).__name__}: {error}"
    return ""


class WorkerPool:
    """Up to `size` worker processes, kept between passes. A context manager: all are gone when the block ends."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.workers: list[_Worker] = []
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.process.kill()
        for thread in self.threads:
            thread.join()
        for worker in self.workers:
            worker.close()
        self.workers, self.threads = [], []

    def run(self, engine: Any, ranks: list[int], folder: Path, on_end: Callable[[int, str], None]) -> None:
        """Give each rank to a free worker and call `on_end` as each ends. If that raises, all workers are ended."""
        import dill  # type: ignore[import-untyped]

        pickled = folder / "executor.pik"
        pickled.write_bytes(dill.dumps(engine))
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        for rank in ranks:
            waiting.put(rank)
        try:
            while len(self.workers) < min(self.size, len(ranks)):
                self.workers.append(_Worker())
            self.threads = [
                threading.Thread(target=_feed, args=(worker, pickled, waiting, ended), daemon=True)
                for worker in self.workers
            ]
            for thread in self.threads:
                thread.start()
            for _ in ranks:
                on_end(*ended.get())
        except BaseException:
            self.__exit__()
            raise


class _Worker:
    """One process."""

    def __init__(self) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        # A session of its own: Ctrl-C reaches the parent alone, which then ends the workers.
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            start_new_session=True,
        )

    def run(self, pickled: Path, rank: int) -> str:
        """Run a task and return what went wrong, "" if nothing did."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps([str(pickled), rank]).encode() + b"\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        return str(json.loads(answer)) if answer else self._death()

    def _death(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        hint = "; the system may have run out of memory" if code == -9 else ""
        return f"the worker process ended with code {code}{hint}{': ' + lines[-1] if lines else ''}"

    def close(self) -> None:
        self.process.wait()
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):  # a job it did not live to read
            self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


def _feed(worker: _Worker, pickled: Path, waiting: "queue.SimpleQueue[int]", ended: "queue.SimpleQueue[Ended]") -> None:
    while True:
        try:
            rank = waiting.get_nowait()
        except queue.Empty:
            return
        failure = worker.run(pickled, rank)
        ended.put((rank, failure))
        if failure:
            return


def serve() -> None:
    """Answer jobs until the input ends. What steps print goes where the errors go."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    quiet_datatrove()
    while True:
        pickled, rank = jobs.get()
        answers.write(json.dumps(_outcome(pickled, rank)) + "\n")
        answers.flush()


def _listen(jobs: "queue.SimpleQueue[tuple[str, int]]") -> None:
    for line in sys.stdin.buffer:
        jobs.put(tuple(json.loads(line)))
    os._exit(0)


def _outcome(pickled: str, rank: int) -> str:
    import dill

    try:
        engine = dill.loads(Path(pickled).read_bytes())
    except Exception as error:  # noqa: BLE001 - a step whose module cannot be imported here
        return f"the steps cannot be loaded in a worker: {type(error).__name__}: {error}"
    return run_task(engine, rank)
