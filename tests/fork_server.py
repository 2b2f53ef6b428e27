"""A Python interpreter that has loaded its imports and forks a child for each command line that `processes.py` sends.

The child leaves this module's loop and is then an interpreter like any other: signals, exit codes and tracebacks are
Python's own. Nothing that depends on the environment may happen while the server imports, and no thread may start.
"""

import atexit
import gc
import importlib.util
import json
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

COMMANDS = """
import boto3, httpx, langchain.agents, langchain_aws, langgraph.graph, psycopg, rich, starlette, uvicorn, xllamacpp, yaml
import langgraph.checkpoint.postgres, langgraph.checkpoint.sqlite
import sagechain.apps.cli
from sagechain import LocalRuntime, chain_of_thought, code_completion, conversation, deploy, load_chat_model, load_llm
from sagechain.llms import SageMakerLLM
from sagechain.chains import open_store
"""
PRELOADED = {
    "commands": COMMANDS,
    "torch": f"{COMMANDS}import torch, transformers, sagechain.pretraining.training\n",
}
"""What each kind of server imports before it forks."""


@dataclass(frozen=True)
class Request:
    """One command line: what follows `python`, and the process that is to run it."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    new_session: bool


def serve(control: socket.socket) -> Request | None:
    """Fork a child for each request. Returns the request in the child, None in the server at the end."""
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C in a terminal reaches the whole group; the client ends the server
    clients: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([control, wake], [], [])
        if wake in ready:
            wake.recv(4096)
            _report_ended(clients)
        if control not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, 1, 4)
        if not message:
            for pid in clients:
                os.kill(pid, signal.SIGKILL)
            return None
        *standard, connection = descriptors
        client = socket.socket(fileno=connection)
        request = Request(**json.loads(client.makefile("rb").readline()))
        if (pid := os.fork()) == 0:
            for each in (control, wake, waker, client, *clients.values()):
                each.close()
            _become(request, standard)
            return request
        for descriptor in standard:
            os.close(descriptor)
        _report(client, pid)
        clients[pid] = client


def _report_ended(clients: dict[int, socket.socket]) -> None:
    """Send the exit codes of the children that have ended to their clients."""
    for pid in list(clients):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with clients.pop(pid) as client:
                _report(client, os.waitstatus_to_exitcode(status))


def _report(client: socket.socket, number: int) -> None:
    try:
        client.sendall(number.to_bytes(4, "little", signed=True))
    except OSError:  # the client has closed its process object
        return


def _become(request: Request, standard: list[int]) -> None:
    """Make the fork look like a new interpreter in the request's folder and environment."""
    for number, descriptor in enumerate(standard):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request.new_session:
        os.setsid()
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # Python reseeds its `random` after a fork, and numpy does not


def execute(arguments: list[str]) -> None:
    """Run `-c CODE …`, `-m MODULE …` or `FILE …` as `__main__`."""
    first, *others = arguments
    names: dict[str, Any] = {}
    code: CodeType | str
    if first == "-c":
        code, sys.argv, sys.path[0] = others[0], ["-c", *others[1:]], ""
    elif first == "-m":
        spec = importlib.util.find_spec(others[0])
        assert spec is not None, f"unknown module {others[0]}"
        if spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{others[0]}.__main__")
        code = spec.loader.get_code(spec.name)  # type: ignore[union-attr]
        names = {"__spec__": spec, "__file__": spec.origin, "__package__": spec.parent}  # type: ignore[union-attr]
        sys.argv, sys.path[0] = [str(names["__file__"]), *others[1:]], os.getcwd()
    else:
        with open(first, encoding="utf-8") as file:
            code = compile(file.read(), first, "exec")
        names = {"__file__": first}
        sys.argv, sys.path[0] = arguments, os.path.dirname(os.path.abspath(first))
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    vars(main).update(names)
    exec(code, vars(main))


@atexit.register  # the first to be registered, so the last to run
def end_at_once() -> None:
    """Skip the clearing of all modules, which takes 0.16 s: threads have ended, and `atexit` has run."""
    if exit_code is not None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(exit_code)


def exit_code_of(end: BaseException) -> int | None:
    """What the interpreter makes of the exception that ended a program; None for Ctrl-C, whose signal it repeats."""
    if isinstance(end, SystemExit):
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return None if isinstance(end, KeyboardInterrupt) else 1


exit_code: int | None = None

if __name__ == "__main__":
    exec(PRELOADED[sys.argv[1]], {})
    gc.collect()
    gc.freeze()
    if request := serve(socket.socket(fileno=int(sys.argv[2]))):
        try:
            execute(request.arguments)
            exit_code = 0
        except BaseException as end:
            exit_code = exit_code_of(end)
            raise
