"""So many at once: who comes when all turns are taken waits, unless nobody could ever give one back."""

import threading

POLL_SECONDS = 0.005  # how often who waits looks whether it has been given up


class Turns:
    """Turns that are taken and given back, in any thread.

    Args:
        number: how many there are.
    """

    def __init__(self, number: int) -> None:
        self._free = threading.BoundedSemaphore(number)
        self._owners: list[int | None] = []

    def taken(self, owner: int | None = None) -> bool:
        """Take one, if one is free."""
        if not self._free.acquire(blocking=False):
            return False
        self._owners.append(owner)
        return True

    def take(self, owner: int | None = None, given_up: threading.Event | None = None) -> bool:
        """Take one, once one is free; False if this is given up before.

        Args:
            owner: the thread that will give it back; None if that may be any.

        Raises:
            RuntimeError: the thread that would wait owns all of them, so that it would wait for ever.
        """
        while not self._free.acquire(timeout=POLL_SECONDS):
            if given_up is not None and given_up.is_set():
                return False
            if owner is not None and set(self._owners) == {owner}:
                raise RuntimeError(
                    "the turn that this one waits for is this thread's own: read its stream to the end or close it first"
                )
        self._owners.append(owner)
        return True

    def end(self, owner: int | None = None) -> None:
        """Give one back."""
        self._owners.remove(owner)
        self._free.release()
