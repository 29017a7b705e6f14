"""What the server counts of itself, in the form that Prometheus reads.

With several worker processes each counts for itself. `prometheus_client` adds them up when
PROMETHEUS_MULTIPROC_DIR names a folder before it is first imported; whoever starts the workers
sees to that.
"""

import asyncio
import os
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from archive.blobs import CacheEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CONTENT_TYPE = CONTENT_TYPE_LATEST
_LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)

_HAND_ON_SECONDS = 1.0


class Metrics:
    """The figures of one application. Labels are route templates, never what somebody asked for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "coverslip_http_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "coverslip_http_request_seconds",
            "Time from a request's header to the last byte of its answer",
            ("route",),
            buckets=_LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._sent = Counter(
            "coverslip_http_sent_bytes", "Bytes of bodies sent", registry=self._registry
        )
        self._received = Counter(
            "coverslip_http_received_bytes", "Bytes of bodies received", registry=self._registry
        )
        self._frames = Counter("coverslip_frames", "Frames sent", registry=self._registry)
        self._located = Counter(
            "coverslip_located",
            "Instances located for frames, from memory or from the database",
            ("source",),
            registry=self._registry,
        )
        self._stored = Counter(
            "coverslip_stored_instances",
            "Instances received by what became of them",
            ("status",),
            registry=self._registry,
        )
        blocks = Counter(
            "coverslip_block_cache_blocks",
            "Blocks of blobs by what became of them in the cache before an object store",
            ("event",),
            registry=self._registry,
        )
        block_bytes = Counter(
            "coverslip_block_cache_bytes",
            "Bytes of blobs read from the cache, and fetched from the object store",
            ("source",),
            registry=self._registry,
        )
        self._cache_events = {
            CacheEvent.SERVED_BYTES: block_bytes.labels("cache").inc,
            CacheEvent.FETCHED_BYTES: block_bytes.labels("store").inc,
        } | {event: blocks.labels(event.value).inc for event in CacheEvent if event.counts_blocks}
        self._hit = self._located.labels("memory")
        self._miss = self._located.labels("database")
        self._of_route: dict[
            tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]
        ]
        self._of_route = {}

    def answered(self, method: str, route: str, status: int, seconds: float, sent: int) -> None:
        """Count one answer."""
        key = (method, route, status)
        found = self._of_route.get(key)
        if found is None:
            found = (
                self._requests.labels(method, route, str(status)).inc,
                self._seconds.labels(route).observe,
            )
            self._of_route[key] = found
        found[0]()
        found[1](seconds)
        if sent:
            self._sent.inc(sent)

    def frame_tally(self, route: str) -> "FrameTally":
        """Give what counts single frames of `route` that are answered at once."""
        return FrameTally(
            self._seconds.labels(route).observe,
            [self._requests.labels("GET", route, "200").inc, self._frames.inc, self._hit.inc],
            self._sent.inc,
        )

    def received(self, size: int) -> None:
        """Count bytes of a request's body."""
        self._received.inc(size)

    def frames(self, count: int, *, from_memory: bool) -> None:
        """Count frames sent, and whether their instance was located without the database."""
        self._frames.inc(count)
        (self._hit if from_memory else self._miss).inc()

    def stored(self, status: str) -> None:
        """Count what became of one instance."""
        self._stored.labels(status).inc()

    def block_cache(self, event: CacheEvent, amount: int) -> None:
        """Count what happened in the block cache, in blocks or bytes."""
        self._cache_events[event](amount)

    def exposition(self) -> bytes:
        """Give all figures, of every worker process where there are several."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class FrameTally:
    """Counts on the event loop, and hands on once a second: it costs a tenth of counting each.

    Parameters
    ----------
    observe
        Takes the seconds of each.
    counters
        Take how many there were.
    sent
        Takes the bytes of their bodies.
    """

    def __init__(
        self,
        observe: "Callable[[float], None]",
        counters: "Sequence[Callable[[float], None]]",
        sent: "Callable[[float], None]",
    ) -> None:
        self._observe = observe
        self._counters = tuple(counters)
        self._sent = sent
        self._count = 0
        self._bytes = 0

    def add(self, seconds: float, size: int) -> None:
        """Count one answer; on the event loop only."""
        if self._count == 0:
            asyncio.get_running_loop().call_later(_HAND_ON_SECONDS, self._hand_on)
        self._count += 1
        self._bytes += size
        self._observe(seconds)

    def _hand_on(self) -> None:
        count, size = self._count, self._bytes
        self._count = self._bytes = 0
        for counter in self._counters:
            counter(count)
        self._sent(size)
