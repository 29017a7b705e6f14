"""HTTP/1.1 on the wire, where what can be answered at once costs no task.

A task, its scope and its messages cost several times more than finding and reading a frame does
(docs/decisions/0009-answers-without-a-task.md). So when the header of a request is complete, the
application is asked first whether it has the answer at hand; everything else goes the usual way.
"""

from typing import TYPE_CHECKING, override

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from dicomweb.protocol import BoundedProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from dicomweb.immediate import Fields, ImmediateAnswer

_START = STATUS_LINE[200]


class ImmediateProtocol(BoundedProtocol):
    """The protocol for an application that `immediate.AnswersNow`; any other is served as ever."""

    _answered = False
    """Whether the request that is coming in has its answer already."""

    @override
    def on_headers_complete(self) -> None:
        """Begin to answer: the header of a request has come."""
        self._answered = self._may_answer() and self._answer_now()
        if self._answered:
            self._in_header = False
        else:
            super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        """Pass over the body of a GET that is answered: it means nothing (RFC 9110 §9.3.1)."""
        if self._answered:
            self._silent = 0
        else:
            super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        """End a request."""
        if self._answered:
            self._silent = 0
            self._complete = True
        else:
            super().on_message_complete()

    def _may_answer(self) -> bool:
        """Tell whether it is this request's turn, and whether its answer is all there is to it."""
        cycle, parser = self.cycle, self.parser
        return (
            not (cycle and not cycle.response_complete)  # else it waits behind that one
            and not self.transport.get_write_buffer_size()  # what went before has been taken
            and not self.root_path
            and parser.get_method() == b"GET"
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and self._refusal() is None
        )

    def _answer_now(self) -> bool:
        now: Callable[[bytes, Fields], ImmediateAnswer | None] | None
        now = getattr(self.app, "now", None)
        answer = None if now is None else now(self.url, self.headers)
        if answer is None:
            return False
        fields = self.server_state.default_headers
        start = b"".join([_START, *(b"%s: %s\r\n" % field for field in fields)])
        # One write is one system call; two of them cost more than the copy that joins them.
        self.transport.write(answer.written(start))
        self.on_response_complete()
        return True
