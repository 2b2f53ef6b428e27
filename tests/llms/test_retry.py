"""Trying again inside one deadline, with a clock and a sleep of the test's own."""

from collections.abc import Callable

import pytest
from sagechain.llms import errors
from sagechain.llms.sagemaker.deadline import Deadline
from sagechain.llms.sagemaker.retry import FIRST_WAIT, LONGEST_WAIT, retry


class Clock:
    """Goes only when somebody sleeps or works."""

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


def again(clock: Clock, attempt: Callable[[], str], *, max_retries: int, seconds: float) -> str:
    return retry(attempt, max_retries=max_retries, deadline=Deadline(seconds, clock), sleep=clock.sleep)


def test_what_may_succeed_later_is_tried_again_as_often_as_asked() -> None:
    clock = Clock()
    with pytest.raises(errors.Throttled):
        again(clock, failing(clock, errors.Throttled("e", "slow down.")), max_retries=5, seconds=1000)
    assert len(clock.slept) == 5
    assert all(wait <= min(LONGEST_WAIT, FIRST_WAIT * 2**position) for position, wait in enumerate(clock.slept))


@pytest.mark.parametrize("error", [errors.TimedOut("e", "late."), errors.AccessDenied("e", "no."), KeyError("bug")])
def test_anything_else_is_tried_once(error: Exception) -> None:
    clock = Clock()
    with pytest.raises(type(error)):
        again(clock, failing(clock, error), max_retries=5, seconds=1000)
    assert clock.slept == []


def test_no_wait_reaches_beyond_the_deadline() -> None:
    clock = Clock()
    down = failing(clock, errors.ServiceFailed("e", "down."), seconds=25)
    with pytest.raises(errors.ServiceFailed):
        again(clock, down, max_retries=100, seconds=60)
    assert clock.now < 100 + 60 + 25
    assert sum(clock.slept) < 60


def test_a_deadline_counts_down_and_begins_anew() -> None:
    clock = Clock()
    deadline = Deadline(10, clock)
    clock.now += 4
    assert deadline.remaining() == 6
    clock.now += 7
    assert deadline.remaining() == 0
    deadline.restart()
    assert deadline.remaining() == 10
