"""Who fetches which block, so that many who want one block at a time cost one request."""

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future

from archive.model.instances import BlobKey


class BlockFlights:
    """Blocks that are being fetched in this process. Safe between threads.

    Who claims blocks sees to it that each of them lands or fails before waiting for those of
    others, so that nobody waits in a circle. A block that landed is still given to who asks, until
    it is said that it can be found elsewhere.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[tuple[BlobKey, int], Future[memoryview]] = {}

    def claim(
        self, key: BlobKey, numbers: Iterable[int]
    ) -> tuple[Mapping[int, Future[memoryview]], list[int]]:
        """Give the flights of blocks, and the numbers of those that the caller has to fetch."""
        flights, mine = {}, []
        with self._lock:
            for number in numbers:
                flight = self._flights.get((key, number))
                if flight is None:
                    flight = self._flights[key, number] = Future()
                    mine.append(number)
                flights[number] = flight
        return flights, mine

    def land(self, key: BlobKey, number: int, content: memoryview) -> None:
        """Hand a block to all who wait for it."""
        self._flights[key, number].set_result(content)

    def fail(self, key: BlobKey, numbers: Iterable[int], error: BaseException) -> None:
        """Tell all who wait for blocks why they do not come."""
        for number in numbers:
            with self._lock:
                flight = self._flights.pop((key, number))
            flight.set_exception(error)

    def forget(self, key: BlobKey, numbers: Iterable[int]) -> None:
        """Let go of blocks that landed."""
        with self._lock:
            for number in numbers:
                del self._flights[key, number]
