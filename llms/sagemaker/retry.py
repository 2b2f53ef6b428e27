"""Trying again: what may succeed later, with full-jitter back-off, inside one deadline.

Which errors may be tried again each class of `errors.py` says. A read time-out may not: the model may still be
generating, and billing. The loop is our own: tenacity's took a fifth of what a call costs beside the network.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import LLMError
from .transport import Deadline

FIRST_WAIT = 0.5  # seconds: the first wait is a random part of this, the next of twice as much …
LONGEST_WAIT = 20.0  # seconds

Result = TypeVar("Result")


def retrying(
    attempt: Callable[[], Result],
    *,
    max_retries: int,
    deadline: Deadline,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """What an attempt gives, or the error of the last one.

    Args:
        max_retries: attempts after the first.
        deadline: no wait reaches beyond it.
        sleep: waits so many seconds.
    """
    for number in range(max_retries):
        try:
            return attempt()
        except LLMError as error:
            wait = random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**number))
            if not error.retryable or wait >= deadline.left():
                raise
            sleep(wait)
    return attempt()
