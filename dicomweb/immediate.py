"""Answers that need no task: made from memory and one read, and written at once.

Who asks for one gives the header's fields as the wire had them, and gets None whenever the answer
takes more than that, or is an error: the application then answers as it does everything else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

Fields = Sequence[tuple[bytes, bytes]]
"""Fields of a header, names in lower case."""


class FixedFields:
    """Fields that many answers have alike, also as they are written (RFC 9112 §5)."""

    __slots__ = ("fields", "written")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        self.fields = tuple(fields)
        self.written = b"".join(b"%s: %s\r\n" % field for field in self.fields)


@dataclass(slots=True)
class ImmediateAnswer:
    """An answer with status 200; its Content-Length is that of its body."""

    content_type: bytes
    tag: bytes
    """For ETag, in quotes."""
    form: FixedFields
    """What answers of the same form have."""
    body: bytes
    edge: FixedFields = FixedFields(())  # noqa: RUF009 — cannot be changed
    """What every answer has."""

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """All fields of the header."""
        return [
            (b"etag", self.tag),
            (b"content-type", self.content_type),
            (b"content-length", b"%d" % len(self.body)),
            *self.form.fields,
            *self.edge.fields,
        ]

    def written(self, start: bytes) -> bytes:
        """Give the answer as it goes over the wire, behind a status line and first fields."""
        return b"".join(
            (
                start,
                self.form.written,
                self.edge.written,
                b"etag: ",
                self.tag,
                b"\r\ncontent-type: ",
                self.content_type,
                b"\r\ncontent-length: %d\r\n\r\n" % len(self.body),
                self.body,
            )
        )


class AnswersNow(Protocol):
    """An ASGI application that can answer some requests without being called."""

    def now(self, target: bytes, fields: Fields) -> ImmediateAnswer | None:
        """Answer a GET without a body.

        Parameters
        ----------
        target
            Path and query as they came.
        """
        ...
