"""`python -m conversion convert|probe`: what the child process runs, one JSON value a line.

``convert`` prints ``{"progress": 0.5}`` lines and at last ``{"manifest": …}``; ``probe`` prints
``{"probe": …}``. A failure is one line ``{"error": …, "message": …, "facts": …}`` and exit
status 1.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conversion.errors import ConversionError, MalformedRequest, OutOfMemory
from conversion.request import ConversionRequest

if TYPE_CHECKING:
    from types import FrameType

_OUT_OF_MEMORY = OutOfMemory("the conversion needs more memory than it is allowed")
_LIBRARY_BYTES = 64 * 1024 * 1024


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        if options.command == "probe":
            from conversion.convert import probe

            _say({"probe": probe(options.slide).to_json()})
        else:
            _convert(options)
    except ConversionError as error:
        _say(error.to_json())
        return 1
    except MemoryError:
        _say(_OUT_OF_MEMORY.to_json())
        return 1
    except Exception:
        # A library that is loaded when there is no memory left fails in any way at all.
        if not _memory_is_spent():
            raise
        _say(_OUT_OF_MEMORY.to_json())
        return 1
    return 0


def _memory_is_spent() -> bool:
    """Try whether there is as much memory left as a library may need."""
    try:
        bytearray(_LIBRARY_BYTES)
    except MemoryError:
        return True
    return False


def _stop(number: int, frame: FrameType | None) -> None:
    """Leave by way of every `finally`, so that the workplace is cleared."""
    sys.exit(128 + number)


def _convert(options: argparse.Namespace) -> None:
    from conversion.convert import convert

    manifest = convert(
        options.slide,
        options.out,
        _request(options.request),
        lambda fraction: _say({"progress": round(fraction, 4)}),
    )
    _say({"manifest": json.loads(manifest.to_json())})


def _request(name: str | None) -> ConversionRequest:
    if name is None:
        return ConversionRequest()
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MalformedRequest("the request cannot be read") from error
    return ConversionRequest.from_json(text)


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conversion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    probe = commands.add_parser("probe", help="say what a slide file is")
    probe.add_argument("slide", type=Path)
    convert = commands.add_parser("convert", help="convert a slide file to DICOM files")
    convert.add_argument("slide", type=Path)
    convert.add_argument("--out", type=Path, required=True, help="output folder")
    convert.add_argument("--request", help="JSON file with case data and options; - for stdin")
    return parser


if __name__ == "__main__":
    sys.exit(main())
