"""Every error the conversion raises, and how it crosses from the child process to its parent.

Facts are attributes (`error.facts`); the message is one plain line naming the cause and, where
there is one, the way out. Messages never hold a path or a file name: those may identify a
patient, and whoever asked for the conversion knows which slide it was.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ConversionError(Exception):
    """What every error of this package is.

    Parameters
    ----------
    message
        One plain line: the cause, and the way out where there is one.
    **facts
        What is known about it, JSON values only.
    """

    _by_name: ClassVar[dict[str, type[ConversionError]]] = {}

    def __init_subclass__(cls) -> None:
        ConversionError._by_name[cls.__name__] = cls

    def __init__(self, message: str, **facts: Any) -> None:  # noqa: ANN401 - any JSON value
        super().__init__(message)
        self.message = message
        self.facts: dict[str, Any] = facts

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any JSON value
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(name)

    def to_json(self) -> dict[str, Any]:
        """Return the error as JSON values, for the line a child process prints."""
        return {"error": type(self).__name__, "message": self.message, "facts": self.facts}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ConversionError:
        """Return the error a child process printed; an unknown name becomes the base class."""
        kind = cls._by_name.get(str(document.get("error")), ConversionError)
        facts = document.get("facts")
        return kind(
            str(document.get("message", "conversion failed")),
            **(facts if isinstance(facts, dict) else {}),
        )


class SourceUnreadable(ConversionError):
    """The path cannot be opened or read: missing, no permission, a folder, a device."""


class UnsupportedFormat(ConversionError):
    """The file is not of a format that is converted here; `format` names it where recognised."""


class UnsupportedCompression(UnsupportedFormat):
    """The format is known, its pixels are stored in a way that is not converted here."""


class DamagedSource(ConversionError):
    """The file contradicts itself, or its tiles are not what they must be."""


class TruncatedSource(DamagedSource):
    """The file ends before the data its directories point to."""


class LimitExceeded(ConversionError):
    """The file claims more than is accepted; `what`, `claimed` and `limit` say which."""


class MissingLibrary(ConversionError):
    """A system library that this format needs is not installed; `library` names it."""


class OutputFailed(ConversionError):
    """The result cannot be written: disk full, no permission, folder in use."""


class VerificationFailed(ConversionError):
    """The written result does not equal the source; nothing of it was kept."""


class MalformedRequest(ConversionError):
    """The case data or options given cannot be used."""


class ConversionTimedOut(ConversionError):
    """The child process took longer than allowed and was ended."""


class ConversionCancelled(ConversionError):
    """The caller asked for the conversion to stop."""


class OutOfMemory(ConversionError):
    """The conversion needed more memory than it was allowed."""


class ChildFailed(ConversionError):
    """The child process ended without a word; `status` is its exit status or minus the signal."""
