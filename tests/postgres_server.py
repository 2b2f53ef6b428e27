"""A real PostgreSQL server on loopback with a temporary data folder; it ends with the process that started it."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

USER, PASSWORD = "keeper", "s3cret/p@ss"
QUOTED = "s3cret%2Fp%40ss"


@contextmanager
def running_postgres() -> Iterator[str]:
    """The server's address, to which a database's name is to be added.

    Raises:
        RuntimeError: no server is installed, or it does not start.
    """
    programs, folder = _programs(), Path(tempfile.mkdtemp(prefix="postgres"))
    try:
        _chown(folder)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        data = folder / "data"
        initdb = [programs / "initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C", "-N"]
        _run([*map(str, initdb), f"--pwfile={folder / 'password'}"], folder)
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
        }
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        server, url = _started([*_as_its_user(), str(programs / "postgres"), "-D", str(data), *options], folder)
        with server:
            try:
                yield url
            finally:
                server.send_signal(
                    signal.SIGQUIT
                )  # end at once, even with open connections: the data are not needed any more
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder of the server's programs; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in reversed(folders):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise RuntimeError("these tests need PostgreSQL's server: apt-get install postgresql")


def _owner() -> pwd.struct_passwd | None:
    """The user that the server runs as: it refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {each.pw_name: each for each in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _chown(folder: Path) -> None:
    if owner := _owner():
        os.chown(folder, owner.pw_uid, owner.pw_gid)


def _as_its_user() -> list[str]:
    """The start of a command line that ends the server with the tests, even if they are killed."""
    owner = _owner()
    user = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"] if owner else []
    return ["setpriv", "--pdeathsig", "QUIT", *user]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run([*_as_its_user(), *command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"initdb: {done.stdout}{done.stderr}")


def _started(command: list[str], folder: Path, tries: int = 3) -> tuple["subprocess.Popen[bytes]", str]:
    """The server and its address; another process may take the port between its choice and its use."""
    port = _free_port()
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, "-c", f"port={port}"], cwd=folder, stdout=log, stderr=log)
    try:
        return server, _once_it_answers(f"postgresql://{USER}:{QUOTED}@127.0.0.1:{port}/", server, folder / "log")
    except RuntimeError:
        ended = server.poll() is not None
        server.kill()
        server.wait()
        if not ended or tries == 1:
            raise
        return _started(command, folder, tries - 1)


def _once_it_answers(url: str, server: "subprocess.Popen[bytes]", log: Path) -> str:
    until = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(f"{url}postgres", connect_timeout=5).close()
            return url
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL does not start: {log.read_text()}") from error
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
