"""Real processes that start within milliseconds: forked from interpreters that have loaded the imports (`fork_server.py`).

    done = run(SAGECHAIN, "ask", "Hi")          # as subprocess.run([…], capture_output=True, text=True)
    with start("-c", "input()") as process:     # as subprocess.Popen([…], text=True) with pipes
        process.kill()

Use `subprocess` where the start of an interpreter is tested: its imports, its encodings, the console script.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

SAGECHAIN = str(Path(sys.executable).with_name("sagechain"))
"""The command's script, as pip installed it."""

PIPE = subprocess.PIPE
Server = Literal["commands", "torch"]


class Process:
    """A running command with pipes for its three standard streams; the methods are those of `subprocess.Popen`."""

    def __init__(
        self,
        arguments: tuple[str, ...],
        *,
        server: Server,
        stdin: int,
        environment: Mapping[str, str],
        folder: str,
        new_session: bool,
    ) -> None:
        theirs_in, ours_in = os.pipe() if stdin == PIPE else (os.dup(stdin), None)
        ours_out, theirs_out = os.pipe()
        ours_err, theirs_err = os.pipe()
        ours, theirs = socket.socketpair()
        request = {
            "arguments": arguments,
            "environment": dict(environment),
            "folder": folder,
            "new_session": new_session,
        }
        socket.send_fds(_server(server), [b"."], [theirs_in, theirs_out, theirs_err, theirs.fileno()])
        for descriptor in (theirs_in, theirs_out, theirs_err):
            os.close(descriptor)
        theirs.close()
        ours.sendall(json.dumps(request).encode() + b"\n")
        self.args = arguments
        self.stdin = os.fdopen(ours_in, "w", encoding="utf-8") if ours_in is not None else None
        self.stdout: IO[str] = os.fdopen(ours_out, encoding="utf-8")
        self.stderr: IO[str] = os.fdopen(ours_err, encoding="utf-8")
        self._connection = ours
        self.pid = self._report()
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = self._report()
            except (TimeoutError, BlockingIOError) as error:
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from error
            self._connection.close()
        return self.returncode

    def _report(self) -> int:
        """The next number from the server: first the process's id, then its exit code."""
        report = self._connection.recv(4)
        assert report, "the fork server has ended; its standard error has the reason"
        return int.from_bytes(report, "little", signed=True)

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Nothing happens once the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def communicate(self, input: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Write, close standard input, read the rest of both outputs, and wait. Raises subprocess.TimeoutExpired."""
        with ThreadPoolExecutor(3) as threads:
            outputs = [threads.submit(pipe.read) for pipe in (self.stdout, self.stderr)]
            threads.submit(self._write, input or "")
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()  # or the threads would read on
                raise
            output, errors = (each.result() for each in outputs)
        self.close()
        return output, errors

    def _write(self, text: str) -> None:
        if self.stdin is None or self.stdin.closed:
            return
        try:
            with self.stdin:
                self.stdin.write(text)
        except BrokenPipeError:  # it has ended without reading all
            return

    def close(self) -> None:
        """Close the pipes."""
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the pipes and wait; after an error in the body the process is killed."""
        if error is not None:
            self.kill()
        self.close()
        self.wait()


def start(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    stdin: int = PIPE,
    server: Server = "commands",
    start_new_session: bool = False,
) -> Process:
    """Start what `python ARGUMENTS…` would start.

    Args:
        arguments: `-c CODE`, `-m MODULE` or a script's path, and what follows it.
        env: the whole environment; by default the one of this process.
        stdin: a file descriptor in place of a pipe.
        server: the server to fork from: "torch" has imported torch, for commands that train or run a checkpoint.
    """
    return Process(
        arguments,
        server=server,
        stdin=stdin,
        environment=os.environ if env is None else env,
        folder=os.getcwd() if cwd is None else str(cwd),
        new_session=start_new_session,
    )


def run(
    *arguments: str, input: str = "", timeout: float | None = None, check: bool = False, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run what `python ARGUMENTS…` would run to its end; `options` are those of `start`.

    Raises:
        subprocess.CalledProcessError: `check`, and it failed.
    """
    process = start(*arguments, **options)
    output, errors = process.communicate(input, timeout)
    done = subprocess.CompletedProcess(arguments, process.wait(), output, errors)
    if check and done.returncode:
        sys.stderr.write(errors)
        done.check_returncode()
    return done


def shell(command: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell's command line, in which `python` and `sagechain` are forked too. Standard input is empty."""
    server = _server("commands").fileno()
    forked = Path(__file__).with_name("forked")
    environment = os.environ | {
        "SAGECHAIN_TESTS_SERVER": str(server),
        "SAGECHAIN_TESTS_COMMAND": SAGECHAIN,
        "PATH": f"{forked}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        command,
        shell=True,
        env=environment,
        pass_fds=[server],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def _server(kind: Server) -> socket.socket:
    """The socket that takes requests; one server of each kind for each test process."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server", kind, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    theirs.close()

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait()

    return ours
