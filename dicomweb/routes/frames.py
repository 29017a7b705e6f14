"""Frames as they are stored, or decoded (PS3.18 §10.4.1.1.6): the path that must be fast.

A plain ASGI endpoint. On a warm cache, with blobs that are local files, it touches no database and
no thread: a look-up in memory, one read, one answer whose length is known. What does not change
from frame to frame of an instance (its path, the form that was negotiated) is worked out once.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, ClassVar, NamedTuple

import anyio
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
from dicomweb.dependencies import ProtectedRoute, admit_now
from dicomweb.immediate import FixedFields, ImmediateAnswer
from dicomweb.multipart import MultipartWriter, Part
from dicomweb.negotiation import EXPLICIT_VR_LITTLE_ENDIAN, Offer, choose
from dicomweb.queries import parse_parameters, values_of
from dicomweb.responses import HEAD, StreamedResponse, entity_tag, is_current
from dicomweb.services import Services

PATH = PREFIX + "/studies/{study}/series/{series}/instances/{instance}/frames/{frames}"
MAXIMUM_FRAMES = 10_000
"""Frames of one request; a list of them has to fit into a request line anyway."""
INLINE_BYTES = 1024 * 1024
"""A frame that may be larger is never read on the event loop; more than this is streamed."""
READS_AT_ONCE = 64
"""Frames that are being fetched from an object store, each in a thread. They are not those of the
other routes: a store that hangs must not take every thread from what does not need it."""
CACHE_CONTROL = (b"cache-control", b"private, max-age=86400")
"""Frames of an instance never change; a day, so that a deletion shows in the end."""

_REMEMBERED_LENGTH = 2048
"""Bytes of Accept and query up to which a choice is remembered; OHIF's Accept has some 600."""
_REMEMBERED_FORMS = 1024
_DIGITS = 9
"""Of a frame's number; NumberOfFrames is an IS below 2^31 (PS3.5 §6.2)."""

_FRAMES = re.compile(r"[0-9]{1,9}(?:,[0-9]{1,9})*")
_INSTANCE = re.compile(
    re.escape(PREFIX) + r"/studies/([^/]+)/series/([^/]+)/instances/([^/]+)/frames\Z"
)
_PREFIX = PREFIX.encode("ascii")
_VARY = (b"vary", b"Accept")
_FIXED = FixedFields([CACHE_CONTROL, _VARY])


@dataclass(frozen=True, slots=True)
class _Form:
    """How the frames of an instance are sent to those who ask alike."""

    offer: Offer
    content_type: bytes
    """Of a single part."""
    converts: bool
    """Whether the stored bytes have to be changed."""
    tag: str
    """What the entity tags of this form begin with, their opening quote included."""
    small: bool
    """Whether it is one frame that is surely read and sent at once, without looking at it first."""


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
        self._reading = anyio.CapacityLimiter(READS_AT_ONCE)
        self._forms: dict[tuple[str, bytes], _Form] = {}

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
        tag = f'{form.tag}-{text}"' if len(numbers) == 1 else entity_tag(form.tag, text, weak=True)
        headers = [(b"etag", tag.encode("ascii")), CACHE_CONTROL, _VARY]
        answer = _Answer(archive, instance, numbers, form)  # raises for frames out of range
        if if_none_match is not None and is_current(if_none_match, tag):
            await _send(send, 304, headers, b"")
            return
        await self._answer(answer, headers, scope, receive, send)
        self._services.metrics.frames(len(numbers), from_memory=from_memory)

    def now(
        self, path: InstancePath, text: str, accept: bytes, principal: Principal
    ) -> ImmediateAnswer | None:
        """Answer for one frame from memory and one read, as `__call__` would.

        Parameters
        ----------
        text
            The number of the frame, decimal digits.

        Returns
        -------
        ImmediateAnswer or None
            None when that takes more, or is an error: `__call__` then does it, or tells.
        """
        archive = self._services.archive
        visible = self._services.policy.visibility(principal)
        instance = archive.cached(path, visible=visible)
        if instance is None or instance.pixels is None or len(accept) >= _REMEMBERED_LENGTH:
            return None
        form = self._form_of(instance, accept)
        if not form.small:
            return None
        body = archive.frame_now(instance, int(text))
        if body is None:
            return None
        content_type = form.content_type
        if form.offer.multipart:
            content_type, body = _in_parts(form.offer, (int(text),), (body,))
        tag = f'{form.tag}-{text}"'.encode("ascii")
        return ImmediateAnswer(content_type, tag, _FIXED, body)

    def _form_of(self, instance: StoredInstance, accept: bytes) -> _Form:
        """Give the form of a single frame; by the content's hash, which is cheaper to look up."""
        form = self._forms.get((instance.sha256, accept))
        if form is None:
            if len(self._forms) >= _REMEMBERED_FORMS:
                self._forms.clear()
            form = _form(_question(instance, single=True, accept=accept, query=b""))
            self._forms[instance.sha256, accept] = form
        return form

    async def _answer(
        self,
        answer: "_Answer",
        headers: list[tuple[bytes, bytes]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Send what is not simply read: streamed when large, and always from a thread."""
        if answer.is_large or HEAD in scope:
            response = answer.streamed()
            response.raw_headers += headers
            await response(scope, receive, send)
            return
        # What is in memory has been answered at once; here a disk may have to be waited for.
        limiter = None if answer.works else self._reading
        content_type, body = await anyio.to_thread.run_sync(answer.whole, limiter=limiter)
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
        return _in_parts(self._offer, self._numbers, contents)

    def streamed(self) -> StreamedResponse:
        """Give a response whose length is known beforehand, unless frames have to be decoded."""
        contents = self._contents()
        if not self._offer.multipart:
            length = None if self.works else self._lengths[0]
            media_type = self._offer.content_type
            return StreamedResponse(contents, media_type=media_type, length=length)
        writer = MultipartWriter.of(self._offer.name)
        kind, numbers = self._offer.content_type, self._numbers
        length = None
        if not self.works:
            sized = zip(numbers, self._lengths, strict=True)
            length = writer.length(Part(kind, (), one, _location(number)) for number, one in sized)
        body = writer.body(_parts(kind, numbers, contents))
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

    def __init__(self, services: Services) -> None:
        self._frames = Frames(services)
        super().__init__(
            PATH,
            self._frames,
            permission=Permission.STUDIES_READ,
            services=services,
            name="retrieve_frames",
        )

    def takes(self, scope: Scope) -> bool:
        """Tell whether this is a request for frames by a path that is well formed."""
        if scope["method"] != "GET" or scope.get("root_path"):
            return False
        prefix = scope["path"].rpartition("/")[0]
        if not prefix.endswith("/frames") or not prefix.startswith(PREFIX):
            return False
        try:
            _instance_path(prefix)
        except (MalformedIdentifier, NotFound):
            return False
        return True

    def now(self, target: bytes, fields: Mapping[bytes, bytes]) -> ImmediateAnswer | None:
        """Answer a GET for one frame from memory and one read; None when that does not do."""
        prefix, _, text = target.rpartition(b"/")
        if not text.isdigit() or len(text) > _DIGITS or not prefix.startswith(_PREFIX):
            return None
        principal = admit_now(self._services, fields, self.permission)
        if principal is None:
            return None
        accept = fields.get(b"accept", b"")
        return self._frames.now(_instance_path_of(prefix), text.decode(), accept, principal)


@lru_cache(maxsize=4096)
def _instance_path(prefix: str) -> InstancePath:
    """Read the path up to ``/frames``; raises `MalformedIdentifier`."""
    match = _INSTANCE.search(prefix)
    if match is None:
        raise NotFound("there is no such resource")
    return InstancePath.parse(*match.groups())


@lru_cache(maxsize=4096)
def _instance_path_of(prefix: bytes) -> InstancePath:
    """Read the path as it came, in which a UID needs no percent-encoding."""
    return _instance_path(prefix.decode("latin-1"))


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
    accept = b""
    if_none_match = None
    for name, value in scope["headers"]:
        if name == b"accept":
            accept = value if not accept else accept + b", " + value
        elif name == b"if-none-match":
            if_none_match = value.decode("latin-1")
    query = scope["query_string"]
    short = len(accept) + len(query) < _REMEMBERED_LENGTH
    question = _question(instance, single=single, accept=accept, query=query)
    return (_form if short else _form.__wrapped__)(question), if_none_match


def _question(instance: StoredInstance, *, single: bool, accept: bytes, query: bytes) -> _Question:
    if instance.pixels is None or instance.pixels.number_of_frames < 1:
        raise NotFound("the instance has no frames: it has no pixel data")
    return _Question(
        instance.sha256, instance.transfer_syntax_uid, instance.pixels, single, accept, query
    )


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
    # Weak where there are parts, whose boundary is another each time.
    tag = entity_tag(question.sha256, str(offer), weak=offer.multipart)[:-1]
    content_type = offer.content_type.encode("ascii")
    converts = must_convert(question.uid, question.pixels, offer)
    # No codec makes a frame of noise much larger than it is without it.
    small = question.pixels.native_frame_bits // 8 <= INLINE_BYTES
    small = small and question.single and not converts
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
    return pixels.swapped_bytes or (not syntax.little_endian and pixels.bits_allocated > 8)


def _in_parts(
    offer: Offer, numbers: Sequence[int], contents: Iterable[bytes]
) -> tuple[bytes, bytes]:
    """Give Content-Type and body of a whole multipart answer."""
    writer = MultipartWriter.of(offer.name)
    parts = _parts(offer.content_type, numbers, contents)
    return writer.content_type.encode("ascii"), b"".join(writer.body(parts))


def _parts(media_type: str, numbers: Sequence[int], contents: Iterable[bytes]) -> Iterator[Part]:
    for number, content in zip(numbers, contents, strict=True):
        yield Part.of(media_type, content, _location(number))


def _location(number: int) -> str:
    """Give where a frame is to be had by itself, relative to a list of frames."""
    return f"../frames/{number}"


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    if status != 304:
        headers.append((b"content-length", str(len(body)).encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
