"""Retries with full-jitter back-off, inside one deadline.

Each class of `errors.py` states whether it is `retryable`. A read time-out is not: the model may still be generating, and
billed. tenacity is not used: its loop took a fifth of the time that a request costs beside the network.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import logging
import random
from collections.abc import Callable
from typing import TypeVar

from ..deadline import Deadline
from ..errors import LLMError

FIRST_WAIT = 0.5  # seconds: the first wait is a random part of this, the next of twice as much …
LONGEST_WAIT = 20.0  # seconds

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def retry(
    attempt: Callable[[], Result],
    *,
    max_retries: int,
    deadline: Deadline,
    sleep: Callable[[float], object],
) -> Result:
    """The result of the first attempt that succeeds, or the error of the last one.

    Args:
        max_retries: attempts after the first.
        deadline: no wait ends after it.
        sleep: waits for a number of seconds.
    """
    for number in range(max_retries):
        try:
            return attempt()
        except LLMError as error:
            wait = random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**number))
            if not error.retryable or wait >= deadline.remaining():
                raise
            kind = type(error).__name__  # not its message, which may repeat some of the prompt
            logger.info("%s: %s; attempt %d of %d in %.1f s", error.endpoint, kind, number + 2, max_retries + 1, wait)
            sleep(wait)
    return attempt()
