"""What a process that was forked must not share with its parent: connections, locks, threads, limits.

A forked child has copies of all objects, but of the threads only the one that forked. A lock that another thread held stays
locked for ever, a connection is used by both processes, so that one reads the other's answer, and a thread that watched or
worked is missing. Objects with such parts replace them in the child:

    renew_in_child(limit, ConcurrencyLimit.reset)   # limit.reset() runs in each child, for as long as limit exists

gunicorn with `preload` and multiprocessing's `fork` are where this happens. Windows has no fork.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from itertools import count
from typing import Any, Self, TypeVar
from weakref import ref

Owner = TypeVar("Owner")

_renewals: dict[int, tuple["ref[Any]", Callable[[Any], object]]] = {}
_numbers = count()


def renew_in_child(owner: Owner, renew: Callable[[Owner], object]) -> None:
    """Call `renew(owner)` in every child forked from now on, before anything else runs there, while `owner` exists.

    `renew` must not wait for a lock that existed before the fork, and must not reach the parent by what it closes: a
    socket's `close` is harmless, its `shutdown` ends the parent's connection.
    """
    number = next(_numbers)
    _renewals[number] = ref(owner, lambda _: _renewals.pop(number, None)), renew


def never_delete(value: object) -> None:
    """Leave a parent's object in memory for ever, through the end of Python too: its destructor would wait, or do harm."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


class RenewedLock:
    """A lock for `with`. A forked child finds it free; an object that is copied or pickled gets a new one."""

    def __init__(self) -> None:
        self._make()
        renew_in_child(self, RenewedLock._make)

    def _make(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()


def _renew_all() -> None:
    for owner, renew in tuple(_renewals.values()):
        existing = owner()
        if existing is not None:
            renew(existing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
