"""Fuzz for some time; exit status 1 when something was found."""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.fuzz.mutation import MAXIMUM_BYTES, changed
from tests.fuzz.targets import TARGETS, Target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

ROOT = Path(__file__).resolve().parents[2]
OURS = (str(ROOT / "archive"), str(ROOT / "dicomweb"))
SLOW_SECONDS = 5.0
"""Of processor time for one input; 64 KiB of anything take milliseconds."""
TURN_SECONDS = 1.0
"""For which a reader is fuzzed before it is the next one's turn."""


class Reached:
    """Notices lines of our own code that are reached for the first time; costs nothing after."""

    def __init__(self) -> None:
        self.new = False
        self.lines = 0
        monitoring = sys.monitoring
        monitoring.use_tool_id(monitoring.COVERAGE_ID, "fuzz")
        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, self._line)
        monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.monitoring.free_tool_id(sys.monitoring.COVERAGE_ID)

    def _line(self, code: CodeType, line: int) -> Any:  # noqa: ANN401 — what monitoring wants
        del line
        if code.co_filename.startswith(OURS):
            self.new = True
            self.lines += 1
        return sys.monitoring.DISABLE


@dataclass(slots=True)
class Fuzzed:
    """A reader that is being fuzzed."""

    target: Target
    corpus: list[bytes] = field(default_factory=list)
    tried: int = 0
    failures: dict[str, Path] = field(default_factory=dict)


def main(words: Sequence[str] | None = None, targets: Sequence[Target] = TARGETS) -> int:
    """Run the command; gives its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long, in all [60]")
    parser.add_argument("--seed", type=int, default=1, help="of the changes that are made [1]")
    parser.add_argument("--only", action="append", choices=[one.name for one in targets])
    parser.add_argument("--failures", type=Path, default=ROOT / "fuzz-failures", metavar="FOLDER")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try one kept input again")
    given = parser.parse_args(words)
    if given.replay is not None:
        return replay(given.replay)
    sys.stdout.write(f"seed {given.seed}\n")
    chosen = [Fuzzed(one) for one in targets if given.only is None or one.name in given.only]
    with Reached() as reached:
        fuzz_all(chosen, reached, random.Random(given.seed), given.seconds, given.failures)
        sys.stdout.write(f"{reached.lines} lines reached\n")
    for one in chosen:
        sys.stdout.write(
            f"{one.target.name}: {one.tried} inputs, {len(one.corpus)} kept, "
            f"{len(one.failures)} found\n"
        )
    return 1 if any(one.failures for one in chosen) else 0


def fuzz_all(
    chosen: Sequence[Fuzzed],
    reached: Reached,
    noise: random.Random,
    seconds: float,
    folder: Path,
) -> None:
    """Try the seeds, then fuzz readers in turn."""
    end = time.monotonic() + seconds
    for one in chosen:
        one.corpus = [seed[:MAXIMUM_BYTES] for seed in one.target.seeds()]
        for seed in one.corpus:
            attempt(one, seed, folder)
    while time.monotonic() < end:
        for one in chosen:
            fuzz(one, reached, noise, min(end, time.monotonic() + TURN_SECONDS), folder)


def fuzz(one: Fuzzed, reached: Reached, noise: random.Random, end: float, folder: Path) -> None:
    """Change inputs of one reader until it is the next one's turn."""
    while time.monotonic() < end:
        content = noise.choice(one.corpus)
        content = changed(content, one.corpus, one.target.words, noise)
        reached.new = False
        attempt(one, content, folder)
        if reached.new:
            one.corpus.append(content)


def attempt(one: Fuzzed, content: bytes, folder: Path) -> None:
    """Give one input to a reader; keep it when it should have been taken better."""
    one.tried += 1
    trouble = trouble_with(one.target, content)
    if trouble is None:
        return
    # One of each kind is enough: by the last line of ours that it went through.
    ours = [line for line in trouble.splitlines() if line.lstrip().startswith('File "' + OURS[0])]
    ours += [line for line in trouble.splitlines() if line.lstrip().startswith('File "' + OURS[1])]
    kind = ours[-1] if ours else trouble.splitlines()[-1]
    if kind in one.failures:
        return
    digest = hashlib.sha256(content).hexdigest()[:16]
    path = folder / f"{one.target.name.replace(' ', '-')}.{digest}"
    folder.mkdir(exist_ok=True)
    path.write_bytes(content)
    one.failures[kind] = path
    sys.stdout.write(f"{one.target.name}: {path}\n{trouble}\n")


def trouble_with(target: Target, content: bytes) -> str | None:
    """Tell what went wrong; None when nothing did."""
    start = time.process_time()
    try:
        target.run(content)
    except target.refusals:
        pass
    except Exception:  # noqa: BLE001 — whatever it is, it is what is looked for
        return traceback.format_exc()
    taken = time.process_time() - start
    return f"took {taken:.1f} s" if taken > SLOW_SECONDS else None


def replay(path: Path) -> int:
    """Try one input again."""
    name = path.name.rpartition(".")[0]
    target = next(one for one in TARGETS if one.name.replace(" ", "-") == name)
    trouble = trouble_with(target, path.read_bytes())
    sys.stdout.write(f"{trouble or 'nothing is wrong'}\n")
    return 1 if trouble else 0


if __name__ == "__main__":
    raise SystemExit(main())
