"""Random frames of a large instance, beside nginx handing out the same bytes and beside Orthanc."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archive.model.transfer_syntaxes import JPEG_BASELINE
from benchmarks import load, peers
from benchmarks.bench import Bench, Part
from benchmarks.processes import Server, archive
from benchmarks.report import ratio, say
from benchmarks.stowing import stow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.instance import Large

CONNECTIONS = (1, 16, 64)
_WARM_UP_SECONDS = 2.0


@dataclass(slots=True)
class Table:
    """What was measured, by name and number of connections."""

    found: dict[tuple[str, int], load.Load] = field(default_factory=dict)

    def measure(self, targets: list[load.Target], connections: int, seconds: float) -> None:
        """Load one target after the other, and print a line for each."""
        for target in targets:
            one = load.ask(target, connections=connections, seconds=seconds)
            self.found[target.name, connections] = one
            wrong = f"   {one.errors} errors" if one.errors else ""
            say(
                f"  {target.name:<44} {connections:>4}  {one.rate:8.0f}  {one.p50_ms:8.2f}  "
                f"{one.p99_ms:8.2f}  {one.processor_rate:10.0f}{wrong}"
            )


def header(what: str) -> None:
    """Say what is asked for, and by what."""
    by = "wrk" if load.has_wrk() else "a client in Python, slower than wrk: lower bounds"
    say(
        "",
        f"{what}, by {by}",
        f"  {'':<44} conn  frames/s    p50 ms    p99 ms  per CPU second",
    )


def measure(bench: Bench) -> None:
    """Measure everybody in turn at each number of connections, so that noise meets them alike."""
    large = bench.large(bench.options.frames)
    header(f"Random frames out of {large.frames}, {large.size / 1e6:.0f} MB in all")
    table = Table()
    with ExitStack() as stack:
        targets = [*_nginx(stack, bench, large), *_ours(stack, bench, large)]
        for target in targets:
            load.ask(target, connections=4, seconds=_WARM_UP_SECONDS)
        for connections in CONNECTIONS:
            table.measure(targets, connections, bench.options.seconds)
    _orthanc(bench, table, large)
    _ratios(table)


def archive_target(name: str, server: Server, large: Large, token: str | None) -> load.Target:
    """Give the target of the frames of an instance that an archive has stored."""
    return load.Target(
        name,
        server.base,
        f"/dicomweb{large.address}/frames/",
        large.frames,
        token=token,
        processor_seconds=server.processor_seconds,
    )


def _nginx(stack: ExitStack, bench: Bench, large: Large) -> Iterator[load.Target]:
    peer = stack.enter_context(peers.nginx(bench.folder / "nginx", large.path.parent))
    if peer is None:
        say("  nginx: not installed, left out")
        return
    yield load.Target(
        "nginx, ranges of one file",
        peer.base,
        f"/{large.path.name}",
        large.frames,
        spans=large.spans,
        processor_seconds=peer.processor_seconds,
    )
    if large.still is not None:
        yield load.Target(
            "nginx, one file each",
            peer.base,
            f"/{large.still.name}/",
            large.frames,
            suffix=".jpg",
            processor_seconds=peer.processor_seconds,
        )


def _ours(stack: ExitStack, bench: Bench, large: Large) -> Iterator[load.Target]:
    for name, settings in (("open", {}), ("token", {"COVERSLIP_AUTH": "required"})):
        server = stack.enter_context(archive(bench.folder / f"archive-frames-{name}", settings))
        token = server.create_token("contributor") if settings else None
        stow(f"{server.base}/dicomweb/studies", large.path, token=token)
        yield archive_target(f"coverslip, {name}", server, large, token)


def _orthanc(bench: Bench, table: Table, large: Large) -> None:
    """Measure Orthanc when nobody else is running: it goes on with what nobody waits for."""
    for connections in CONNECTIONS:
        with peers.orthanc(bench.folder / f"orthanc-frames-{connections}") as peer:
            if peer is None:
                say("  Orthanc: not installed, left out")
                return
            stow(f"{peer.base}/dicom-web/studies", large.path)
            target = load.Target(
                peer.name,
                peer.base,
                f"/dicom-web{large.address}/frames/",
                large.frames,
                accept=f'multipart/related; type="image/jpeg"; transfer-syntax={JPEG_BASELINE}',
                processor_seconds=peer.processor_seconds,
            )
            table.measure([target], connections, bench.options.seconds)


def _ratios(table: Table) -> None:
    """Print what the figures come to."""
    names = {name for name, _ in table.found}
    for ours in sorted(name for name in names if name.startswith("coverslip")):
        for other in sorted(names):
            if other.startswith("nginx"):
                wanted = "at least 0.35"
            elif other.startswith("Orthanc"):
                wanted = "at least 15"
            else:
                continue
            for connections in CONNECTIONS:
                us, them = table.found[ours, connections], table.found[other, connections]
                at = f"{ours} : {other}, {connections} conn"
                if them.rate:
                    ratio(f"{at}, frames/s", us.rate / them.rate, wanted=wanted)
                if them.processor_rate:
                    ratio(f"{at}, per CPU second", us.processor_rate / them.processor_rate)


PART = Part("frames", "random frames, beside nginx and Orthanc", measure)
