"""What goes wrong becomes one line on standard error, and an exit status.

0: done. 1: what was asked for failed. 2: it was asked for wrongly, or the settings do not go
together. 130: Ctrl-C. Only an error that nobody foresaw shows a traceback: it is a bug, and the
traceback is what a report of it needs.
"""

import signal
from typing import Any, override

import typer
from typer.core import TyperGroup

from archive.errors import ArchiveError, MalformedSettings, UnsafeSettings
from auth import AuthError
from auth.errors import UnknownRole
from conversion import ConversionError
from conversion.errors import MalformedRequest

FAILED = 1
MISUSED = 2

_MISUSES = (MalformedSettings, UnsafeSettings, UnknownRole, MalformedRequest)


class Failure(Exception):
    """A command could not do what it was asked; the message says why."""


class Misuse(Exception):
    """A command was asked for something that cannot be; the message says what can."""


class ReportingGroup(TyperGroup):
    """The commands, with every foreseen error told in one line."""

    @override
    def invoke(self, ctx: Any) -> Any:
        """Run the command; raises `typer.Exit` with the status where it failed."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(128 + signal.SIGINT) from interrupt
        except (*_MISUSES, Misuse) as error:
            say_error(error)
            raise typer.Exit(MISUSED) from error
        except (ArchiveError, AuthError, ConversionError, Failure) as error:
            say_error(error)
            raise typer.Exit(FAILED) from error
        except OSError as error:
            if error.filename is None:
                raise
            say_error(f"{error.filename}: {error.strerror}")
            raise typer.Exit(FAILED) from error


def say_error(error: object) -> None:
    """Tell one error in one line on standard error."""
    typer.echo(f"coverslip: {one_line(error)}", err=True)


def one_line(error: object) -> str:
    """Give an error's message without line breaks; its class where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
