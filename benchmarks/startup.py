"""How long does sagechain take to start? `import sagechain.chains` and `sagechain --help`, in new processes.

Method: each command in a separate process, once to warm the disk's cache, then `--repeat` times; the wall time of an
empty interpreter is measured beside them, as the ceiling. Targets: import at most 1.0 s, help at most 0.4 s.

    python benchmarks/startup.py
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

COMMANDS = {
    "empty interpreter": ["-c", "pass"],
    "import sagechain.chains": ["-c", "import sagechain.chains"],
    "from sagechain.chains import conversation, chain_of_thought": [
        "-c",
        "from sagechain.chains import conversation, chain_of_thought",
    ],
    "sagechain --help": [
        "-c",
        "import sys; sys.argv = ['sagechain', '--help']; from sagechain.apps.cli import main; main()",
    ],
}


def seconds(arguments: list[str]) -> float:
    """The wall time of one process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print medians and spreads, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--smoke", action="store_true", help="once each")
    options = parser.parse_args()
    repeat = 1 if options.smoke else options.repeat
    figures = {}
    for name, arguments in COMMANDS.items():
        seconds(arguments)
        times = sorted(seconds(arguments) for _ in range(repeat))
        figures[name] = {"median_s": round(statistics.median(times), 3), "min_s": times[0], "max_s": times[-1]}
        print(f"{name:62} median {statistics.median(times):.3f} s  ({times[0]:.3f} to {times[-1]:.3f})")
    print(json.dumps({"python": platform.python_version(), "sagechain": version("sagechain"), "startup": figures}))


if __name__ == "__main__":
    main()
