"""Memory with a bound in bytes, and one loader where many ask for the same."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable


class ByteBoundedCache[Key: Hashable, Value]:
    """The least recently used goes first. Safe between threads, and never holds a lock for long.

    Parameters
    ----------
    limit_bytes
        Weights of all values together at most. A value heavier than this is not kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._weight = 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of what is kept."""
        return self._weight

    def get(self, key: Key) -> Value | None:
        """Give what is kept under `key`."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Key, value: Value, weight_bytes: int) -> None:
        """Keep a value of so many bytes."""
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._weight -= old[1]
            if weight_bytes > self.limit_bytes:
                return
            self._entries[key] = (value, weight_bytes)
            self._weight += weight_bytes
            while self._weight > self.limit_bytes:
                _, (_, weight) = self._entries.popitem(last=False)
                self._weight -= weight

    def drop(self, key: Key) -> None:
        """Forget what is kept under `key`."""
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._weight -= old[1]


class SingleFlight[Key: Hashable, Value]:
    """Lets one caller load a thing while the others who want the same wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Key, _Flight[Value]] = {}

    def do(self, key: Key, load: Callable[[], Value]) -> Value:
        """Give what `load` gives, or raises, to everybody who asks while it runs."""
        with self._lock:
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flights[key] = _Flight()
        if not leads:
            flight.done.wait()
            return flight.result()
        try:
            flight.value = (load(),)
        except BaseException as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                del self._flights[key]
            flight.done.set()
        return flight.result()


class _Flight[Value]:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: tuple[Value] | None = None
        self.error: BaseException | None = None

    def result(self) -> Value:
        if self.value is None:
            message = "what another thread was loading could not be loaded"
            raise self.error or RuntimeError(message)
        return self.value[0]
