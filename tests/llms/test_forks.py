"""Models after a fork: nothing waits for a thread that only the parent has."""

import os
import threading

import pytest
from sagechain.llms.forks import RenewedLock, renew_in_child
from sagechain.llms.testing import ScriptedLLM

from tests.forked_child import in_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


class Owner:
    renewed = 0

    def renew(self) -> None:
        self.renewed += 1


def test_what_is_registered_is_renewed_in_each_child_and_not_in_the_parent() -> None:
    owners = [Owner(), Owner()]
    for owner in owners:
        renew_in_child(owner, Owner.renew)
    assert [in_child(lambda: [owner.renewed for owner in owners]) for _ in range(2)] == [[1, 1]] * 2
    assert [owner.renewed for owner in owners] == [0, 0]


def test_what_is_registered_is_not_kept_alive() -> None:
    ended = threading.Event()

    class Short(Owner):
        def __del__(self) -> None:
            ended.set()

    renew_in_child(Short(), Owner.renew)
    assert ended.is_set()


def test_a_lock_that_another_thread_held_is_free_in_the_child() -> None:
    lock, held, done = RenewedLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()

    def take() -> bool:
        with lock:
            return True

    try:
        assert in_child(take)
    finally:
        done.set()
        thread.join()


def test_a_child_may_use_all_slots_though_a_thread_of_the_parent_had_one() -> None:
    model = ScriptedLLM(["a b c", "in the child"], max_concurrency=1)
    stream = model.chunks("prompt")
    assert next(stream).text == "a"

    def use() -> str:
        answer = model.invoke("prompt")
        stream.close()
        return answer

    assert in_child(use) == "in the child"
    assert "".join(chunk.text for chunk in stream) == " b c"
    assert model.invoke("prompt") == "in the child"
