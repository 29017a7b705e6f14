"""Frames as they are stored, or decoded (PS3.18 §10.4.1.1.6): the path that must be fast.

A plain ASGI endpoint. On a warm cache, with blobs that are local files, it touches no database and
no thread: a look-up in memory, one read, one answer whose length is known. What does not change
from frame to frame of an instance (its path, the form that was negotiated) is worked out once.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple

import anyio.to_thread
from starlette.types import Receive, Scope, Send

from archive.archive import Archive
from archive.errors import MalformedIdentifier, MalformedRequest, NotFound
from archive.model.frames import PixelDescription
from archive.model.identifiers import InstancePath
from archive.model.instances import StoredInstance
from archive.model.transfer_syntaxes import BY_UID, ENCAPSULATED_UNCOMPRESSED, OCTET_STREAM
from archive.transcoding import LOSSLESS_TARGETS, LOSSY_TARGETS, can_transcode_frames
from auth import Permission, Principal
from dicomweb.addresses import PREFIX
from dicomweb.dependencies import ProtectedRoute
from dicomweb.multipart import MultipartWriter
from dicomweb.negotiation import EXPLICIT_VR_LITTLE_ENDIAN, Offer, choose
from dicomweb.queries import parse_parameters, values_of
from dicomweb.responses import StreamedResponse, entity_tag, is_current
from dicomweb.services import Services

PATH = PREFIX + "/studies/{study}/series/{series}/instances/{instance}/frames/{frames}"
MAXIMUM_FRAMES = 10_000
"""Frames of one request; a list of them has to fit into a request line anyway."""
INLINE_BYTES = 1024 * 1024
"""Reading more than this from local files goes to a thread, so that nobody else waits for it."""
CACHE_CONTROL = (b"cache-control", b"private, max-age=86400")
"""Frames of an instance never change; a day, so that a deletion shows in the end."""

_REMEMBERED_LENGTH = 512
"""Characters of Accept and query up to which a choice is remembered."""

_FRAMES = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9})*")
_INSTANCE = re.compile(
    re.escape(PREFIX) + r"/studies/([^/]+)/series/([^/]+)/instances/([^/]+)/frames"
)
_VARY = (b"vary", b"Accept")


@dataclass(frozen=True, slots=True)
class _Form:
    """How the frames of an instance are sent to those who ask alike."""

    offer: Offer
    content_type: bytes
    """Of a single part."""
    converts: bool
    """Whether the stored bytes have to be changed."""
    tag: str
    """What the entity tags of this form begin with."""
    small: bool
    """Whether a single frame is surely read at once, without looking at its length first."""


class _Question(NamedTuple):
    """All that the form of an answer hangs on; a tuple, for it is hashed with every request."""

    sha256: str
    uid: str
    """Transfer syntax that is stored."""
    pixels: PixelDescription
    single: bool
    accept: bytes
    query: bytes


class Frames:
    """Endpoint of the frames resource."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, principal: Principal
    ) -> None:
        """Answer one request."""
        prefix, _, text = scope["path"].rpartition("/")
        path = _instance_path(prefix)
        numbers = _numbers(text)
        archive = self._services.archive
        visible = self._services.policy.visibility(principal)
        instance = archive.cached(path, visible=visible)
        from_memory = instance is not None
        if instance is None:
            instance = await anyio.to_thread.run_sync(
                partial(archive.locate, path, visible=visible)
            )
        form, if_none_match = _asked(scope, instance, single=len(numbers) == 1)
        tag = f'"{form.tag}-{text}"' if len(numbers) == 1 else entity_tag(form.tag, text)
        headers = [(b"etag", tag.encode("ascii")), CACHE_CONTROL, _VARY]
        inline = self._services.reads_inline and instance.frame_index is not None
        if form.small and inline and if_none_match is None:
            headers.append((b"content-type", form.content_type))
            body = next(archive.frames(instance, numbers))
            await _send(send, 200, headers, body)
        else:
            answer = _Answer(archive, instance, numbers, form)  # raises for frames out of range
            if if_none_match is not None and is_current(if_none_match, tag):
                await _send(send, 304, headers, b"")
                return
            await self._answer(answer, headers, scope, receive, send)
        self._services.metrics.frames(len(numbers), from_memory=from_memory)

    async def _answer(
        self,
        answer: "_Answer",
        headers: list[tuple[bytes, bytes]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Send what is not simply read: streamed when large, from a thread when it is work."""
        if answer.is_large:
            response = answer.streamed()
            response.raw_headers += headers
            await response(scope, receive, send)
            return
        if self._services.reads_inline and not answer.works:
            content_type, body = answer.whole()
        else:
            content_type, body = await _in_thread(answer.whole)
        headers.append((b"content-type", content_type))
        await _send(send, 200, headers, body)


class _Answer:
    """What goes into the body of one answer."""

    def __init__(
        self, archive: Archive, instance: StoredInstance, numbers: Sequence[int], form: _Form
    ) -> None:
        self._archive = archive
        self._instance = instance
        self._numbers = numbers
        self._form = form
        self._offer = form.offer
        # Without an index the data set is deflated, and inflated as a whole (PS3.5 §A.5).
        self._indexed = instance.frame_index is not None
        self._lengths = [
            sum(span.length for span in archive.frame_spans(instance, number))
            for number in numbers
            if self._indexed
        ]

    @property
    def is_large(self) -> bool:
        """Whether the body is made and sent piece by piece."""
        return sum(self._lengths) > INLINE_BYTES or (self.works and len(self._numbers) > 1)

    @property
    def works(self) -> bool:
        """Whether it takes more than reading, so that it belongs into a thread."""
        return self._form.converts or not self._indexed

    def whole(self) -> tuple[bytes, bytes]:
        """Give Content-Type and body."""
        contents = self._contents()
        if not self._offer.multipart:
            return self._form.content_type, next(contents)
        writer = MultipartWriter.of(self._offer.name)
        part_type = self._offer.content_type
        return writer.content_type.encode("ascii"), b"".join(
            writer.body((part_type, content) for content in contents)
        )

    def streamed(self) -> StreamedResponse:
        """Give a response whose length is known beforehand, unless frames have to be decoded."""
        contents = self._contents()
        if not self._offer.multipart:
            length = None if self.works else self._lengths[0]
            media_type = self._offer.content_type
            return StreamedResponse(contents, media_type=media_type, length=length)
        writer = MultipartWriter.of(self._offer.name)
        part_type = self._offer.content_type
        length = None
        if not self.works:
            length = writer.length((part_type, one) for one in self._lengths)
        body = writer.body((part_type, content) for content in contents)
        return StreamedResponse(body, media_type=writer.content_type, length=length)

    def _contents(self) -> Iterator[bytes]:
        wanted = self._offer.transfer_syntax
        if not self._form.converts or wanted is None:
            return self._archive.frames(self._instance, self._numbers)
        return self._archive.transcoded_frames(self._instance, self._numbers, wanted)


class FramesRoute(ProtectedRoute):
    """The route of frames; can tell by itself, at little cost, whether a request is for it."""

    description = "Frames as they are stored, decoded, or in another transfer syntax."
    responses: ClassVar[dict[int | str, dict[str, Any]]] = {
        200: {"description": "The frames", "content": {"multipart/related": {}, OCTET_STREAM: {}}},
        304: {"description": "As the client has it"},
        400: {"description": "No list of frame numbers"},
        404: {"description": "No such instance, or no such frame"},
        406: {"description": "Not available as asked"},
    }
    openapi_extra: ClassVar[dict[str, Any]] = {
        "x-accept": [
            'multipart/related; type="*/*"; transfer-syntax=*',
            'multipart/related; type="application/octet-stream"',
            'multipart/related; type="image/*"',
            "application/octet-stream",
            "image/*",
        ]
    }

    def takes(self, scope: Scope) -> bool:
        """Tell whether this is a request for frames by a path that is well formed."""
        if scope["method"] != "GET" or scope.get("root_path"):
            return False
        prefix = scope["path"].rpartition("/")[0]
        if not prefix.endswith("/frames"):
            return False
        try:
            _instance_path(prefix)
        except (MalformedIdentifier, NotFound):
            return False
        return True


def frames_route(services: Services) -> FramesRoute:
    """Make the route."""
    return FramesRoute(
        PATH,
        Frames(services),
        permission=Permission.STUDIES_READ,
        services=services,
        name="retrieve_frames",
    )


@lru_cache(maxsize=4096)
def _instance_path(prefix: str) -> InstancePath:
    """Read the path up to ``/frames``; raises `MalformedIdentifier`."""
    match = _INSTANCE.search(prefix)
    if match is None:
        raise NotFound("there is no such resource")
    return InstancePath.parse(*match.groups())


def _numbers(text: str) -> tuple[int, ...]:
    """Read a list of frame numbers; raises `MalformedRequest`."""
    if _FRAMES.fullmatch(text) is None:
        raise MalformedRequest(
            f"{text[:80]!r} is no list of frame numbers, one-based and joined by commas"
        )
    numbers = tuple(map(int, text.split(",")))
    if 0 in numbers:
        raise MalformedRequest("frames are numbered from one")
    if len(numbers) > MAXIMUM_FRAMES:
        raise MalformedRequest(f"more than {MAXIMUM_FRAMES} frames in one request")
    return numbers


def _asked(scope: Scope, instance: StoredInstance, *, single: bool) -> tuple[_Form, str | None]:
    """Select the form, and give If-None-Match.

    What was selected for the same question lately is remembered; long questions are not, so that
    nobody fills the memory with them.
    """
    if instance.pixels is None or instance.pixels.number_of_frames < 1:
        raise NotFound("the instance has no frames: it has no pixel data")
    accept = b""
    if_none_match = None
    for name, value in scope["headers"]:
        if name == b"accept":
            accept = value if not accept else accept + b", " + value
        elif name == b"if-none-match":
            if_none_match = value.decode("latin-1")
    query = scope["query_string"]
    short = len(accept) + len(query) < _REMEMBERED_LENGTH
    question = _Question(
        instance.sha256, instance.transfer_syntax_uid, instance.pixels, single, accept, query
    )
    return (_form if short else _form.__wrapped__)(question), if_none_match


@lru_cache(maxsize=1024)
def _form(question: _Question) -> _Form:
    parameters = parse_parameters(question.query)
    syntaxes = values_of(parameters, "transfer-syntax")
    offer = choose(
        frame_offers(question.uid, question.pixels, single=question.single),
        accept=[question.accept.decode("latin-1")],
        query=values_of(parameters, "accept"),
        transfer_syntax=syntaxes[0] if syntaxes else None,
    )
    tag = entity_tag(question.sha256, str(offer)).strip('"')
    content_type = offer.content_type.encode("ascii")
    converts = must_convert(question.uid, question.pixels, offer)
    # No codec makes a frame of noise much larger than it is without it.
    small = question.pixels.native_frame_bits // 8 <= INLINE_BYTES
    small = small and question.single and not offer.multipart and not converts
    return _Form(offer, content_type, converts, tag, small)


def frame_offers(uid: str, pixels: PixelDescription, *, single: bool) -> list[Offer]:
    """Give the forms in which frames stored in a transfer syntax are sent, the stored one first.

    A stored stream goes under its own media type, and as octets when its transfer syntax or any
    (``*``) is asked for; octets without a transfer syntax are Explicit VR Little Endian (PS3.18
    Table 8.7.3-4). A media type without one takes what is stored under it, else its default of
    Table 8.7.3-5. Only those get a lossy syntax that is not stored who name it.
    """
    syntax = BY_UID[uid]
    forms = []
    if syntax.encapsulated and not syntax.video:
        if syntax.media_type != OCTET_STREAM:
            forms.append(Offer(syntax.media_type, transfer_syntax=uid))
        forms.append(Offer(OCTET_STREAM, transfer_syntax=uid, implied=False))
    if can_transcode_frames(pixels, uid, EXPLICIT_VR_LITTLE_ENDIAN):
        forms.append(Offer(OCTET_STREAM, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN))
    for wanted in (*LOSSLESS_TARGETS, *LOSSY_TARGETS):
        if wanted != uid and can_transcode_frames(pixels, uid, wanted):
            media_type, default = BY_UID[wanted].media_type, BY_UID[wanted].default
            named = wanted in LOSSY_TARGETS or media_type == OCTET_STREAM
            forms.append(
                Offer(media_type, transfer_syntax=wanted, implied=default, named_only=named)
            )
    multiparts = [replace(form, multipart=True) for form in forms]
    return multiparts + forms if single else multiparts


def must_convert(uid: str, pixels: PixelDescription, offer: Offer) -> bool:
    """Tell whether frames stored in a transfer syntax have to be changed for a form."""
    if offer.transfer_syntax == uid and uid != EXPLICIT_VR_LITTLE_ENDIAN:
        return False
    syntax = BY_UID[uid]
    if offer.transfer_syntax != EXPLICIT_VR_LITTLE_ENDIAN:
        return True
    if syntax.encapsulated and syntax.uid != ENCAPSULATED_UNCOMPRESSED:
        return True
    if pixels.bits_allocated == 1:  # a frame need not start on a byte
        return pixels.native_frame_bits % 8 != 0
    return not syntax.little_endian and pixels.bits_allocated > 8


async def _in_thread[T](make: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(make)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    if status != 304:
        headers.append((b"content-length", str(len(body)).encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
