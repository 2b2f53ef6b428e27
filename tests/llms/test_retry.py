"""Retries inside one deadline, with a clock that the test moves."""

from collections.abc import Callable

import pytest
from sagechain.llms import errors
from sagechain.llms.deadline import Deadline
from sagechain.llms.sagemaker.retry import FIRST_WAIT, LONGEST_WAIT, retry


class Clock:
    """A clock that only `sleep` and the attempts move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def failing(clock: Clock, error: Exception, *, seconds: float = 0.0) -> Callable[[], str]:
    def attempt() -> str:
        clock.now += seconds
        raise error

    return attempt


def run(clock: Clock, attempt: Callable[[], str], *, max_retries: int, seconds: float) -> str:
    return retry(attempt, max_retries=max_retries, deadline=Deadline(seconds, clock), sleep=clock.sleep)


def test_a_retryable_error_is_retried_max_retries_times() -> None:
    clock = Clock()
    with pytest.raises(errors.Throttled):
        run(clock, failing(clock, errors.Throttled("e", "slow down.")), max_retries=5, seconds=1000)
    assert len(clock.slept) == 5
    assert all(wait <= min(LONGEST_WAIT, FIRST_WAIT * 2**position) for position, wait in enumerate(clock.slept))


@pytest.mark.parametrize("error", [errors.TimedOut("e", "late."), errors.AccessDenied("e", "no."), KeyError("bug")])
def test_any_other_error_is_not_retried(error: Exception) -> None:
    clock = Clock()
    with pytest.raises(type(error)):
        run(clock, failing(clock, error), max_retries=5, seconds=1000)
    assert clock.slept == []


def test_no_wait_ends_after_the_deadline() -> None:
    clock = Clock()
    down = failing(clock, errors.ServiceFailed("e", "down."), seconds=25)
    with pytest.raises(errors.ServiceFailed):
        run(clock, down, max_retries=100, seconds=60)
    assert clock.now < 100 + 60 + 25
    assert sum(clock.slept) < 60


def test_a_deadline_counts_down_and_restarts() -> None:
    clock = Clock()
    deadline = Deadline(10, clock)
    clock.now += 4
    assert deadline.remaining() == 6
    clock.now += 7
    assert deadline.remaining() == 0
    deadline.restart()
    assert deadline.remaining() == 10
