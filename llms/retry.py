"""Trying again: what may succeed later, with full-jitter back-off, inside one deadline.

Which errors may be tried again each class of `errors.py` says. A read time-out may not: the model may still be
generating, and billing.
"""

import time
from collections.abc import Callable

from sagechain.llms.connections import Deadline
from sagechain.llms.errors import LLMError
from tenacity import Retrying, retry_if_exception, wait_random_exponential

FIRST_WAIT = 0.5  # seconds: the first wait is a random part of this, the next of twice as much …
LONGEST_WAIT = 20.0  # seconds


def retrying(*, max_retries: int, deadline: Deadline, sleep: Callable[[float], None] = time.sleep) -> Retrying:
    """A tenacity loop that gives up with the last error.

    Args:
        max_retries: attempts after the first.
        deadline: no wait reaches beyond it.
        sleep: waits so many seconds.
    """

    return Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, LLMError) and error.retryable),
        stop=lambda state: state.attempt_number > max_retries or deadline.left() <= state.upcoming_sleep,
        wait=wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
        sleep=sleep,
        reraise=True,
    )
