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
        try:
            os.write(theirs, json.dumps(work()).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        result = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, f"the child ended with {code}"
    return json.loads(result)
