"""Run a function in a forked child of this process, as multiprocessing's `fork` and gunicorn's `preload` do."""

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

LIMIT_SECONDS = 20  # a child that hangs is killed, and fails its test


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a child, as JSON carries it."""
    ours, theirs = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(LIMIT_SECONDS)
        code = 1
        try:
            os.write(theirs, json.dumps(work()).encode())
            code = 0
        except Exception:  # noqa: BLE001  # the child has no other way to show it
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        result = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, f"the child ended with {code}"
    return json.loads(result)
