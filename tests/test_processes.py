"""The fork server's children are processes as `python …` starts them."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.processes import Server, run, shell, start


def test_a_child_has_its_own_arguments_environment_folder_and_streams(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "print(sys.argv[1:], dict(os.environ), os.getcwd(), input(), __name__)\n"
        "print('aside', file=sys.stderr)"
    )
    done = run("-c", code, "a", "b", input="typed\n", env={"ONLY": "this"}, cwd=tmp_path)
    assert done.stdout == f"['a', 'b'] {{'ONLY': 'this'}} {tmp_path} typed __main__\n"
    assert (done.returncode, done.stderr) == (0, "aside\n")


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        ("raise SystemExit(7)", 7, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("raise ValueError('bad')", 1, "ValueError: bad\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("raise KeyboardInterrupt", -signal.SIGINT, "KeyboardInterrupt\n"),
        ("import atexit, sys; atexit.register(sys.stderr.write, 'bye')", 0, "bye"),
    ],
)
def test_a_child_ends_as_an_interpreter_does(code: str, exit_code: int, message: str) -> None:
    done = run("-c", code)
    assert (done.returncode, done.stderr.endswith(message)) == (exit_code, True)


def test_signals_reach_the_child_alone() -> None:
    with start("-c", "print('ready', flush=True); input()") as waiting, start("-c", "input()") as other:
        assert waiting.stdout.readline() == "ready\n"
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(10) == -signal.SIGINT
        assert other.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.01)
        other.terminate()
        assert other.wait(10) == -signal.SIGTERM


def test_a_module_and_a_script_run_as_main(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; print(sys.argv, __name__, __file__, sys.path[0])")
    assert run(str(script), "x").stdout == f"['{script}', 'x'] __main__ {script} {tmp_path}\n"
    assert run("-m", "json.tool", input='{"a": 1}').stdout == '{\n    "a": 1\n}\n'


def test_two_children_draw_different_numbers() -> None:
    code = "import random, numpy; print(random.random()); print(numpy.random.rand())"
    first, second = (run("-c", code).stdout.split() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_unread_input_or_long_output_of_a_child_blocks_no_process() -> None:
    done = run("-c", "print('x' * 1_000_000)", input="y" * 1_000_000)
    assert (done.returncode, len(done.stdout)) == (0, 1_000_001)


@pytest.mark.parametrize("server", ["commands", "torch"])
def test_a_server_that_has_imported_all_has_one_thread(server: Server) -> None:
    """A fork copies only the thread that forks: locks that others hold would stay locked."""
    code = "import os; print(len(os.listdir(f'/proc/{os.getppid()}/task')))"
    assert run("-c", code, server=server).stdout == "1\n"


def test_a_shell_s_commands_are_forked_with_its_pipes_files_and_exit_codes(tmp_path: Path) -> None:
    done = shell(
        f"cd {tmp_path}; echo 3 | python -c 'print(int(input()) + 1)' > four; sagechain --version; python -c 'exit(7)'"
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "sagechain 0.1.0\n", "")
    assert (tmp_path / "four").read_text() == "4\n"
