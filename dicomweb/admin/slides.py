"""Slide files: given to be converted, and how that goes. Not part of DICOMweb.

`curl -F file=@slide.svs -F accession=A-1 http://127.0.0.1:8080/api/slides` is all it takes; a
browser's form or `FormData` sends the same (RFC 7578). The file goes straight to scratch, in one
copy, however large it is.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any
from uuid import UUID

import anyio.to_thread
import orjson
from fastapi import APIRouter
from starlette.responses import Response

from archive.errors import MalformedRequest, NotFound, TooLarge, UnsupportedMedia
from archive.model.instances import StagedFile
from archive.model.slides import SlideRecord
from auth import Permission
from conversion import ConversionRequest
from conversion.errors import MalformedRequest as MalformedConversion
from dicomweb.dependencies import Caller, requires
from dicomweb.media_types import parse_media_type
from dicomweb.multipart import (
    MultipartReader,
    PartBytes,
    PartEnds,
    PartStarts,
    boundary_of,
)
from dicomweb.queries import parse_parameters, values_of
from dicomweb.receiving import FileParts, receive

PATH = "/api/slides"
router = APIRouter(prefix=PATH, tags=["Slides (not part of DICOMweb)"])

MAXIMUM_FIELD_BYTES = 4096
MAXIMUM_PARTS = 100
DEFAULT_LIMIT = 100
MAXIMUM_LIMIT = 1000

_NON_STANDARD: dict[str, Any] = {"x-non-standard": True}
# Form fields: those of the conversion request that a client may set, and how `coverslip ingest`
# calls some of them.
_FIELDS = {field.name for field in fields(ConversionRequest)} - {"source_sha256"}
_ALIASES = {"case": "case_id", "specimen": "specimen_ids", "specimen_id": "specimen_ids"}
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        **{name: {"type": "string"} for name in sorted(_FIELDS)},
                    },
                }
            }
        },
    },
    **_NON_STANDARD,
}


@router.post(
    "",
    status_code=202,
    openapi_extra=_FORM,
    responses={
        202: {"description": "Received; it will be converted", "content": {"application/json": {}}},
        400: {"description": "The form is not well formed, or a field is none"},
        413: {"description": "Too large"},
        503: {"description": "No room to receive it"},
    },
)
async def upload_slide(
    caller: Annotated[Caller, requires(Permission.SLIDES_INGEST)],
) -> Response:
    """Give a slide file, with case data as form fields, to be converted and stored."""
    content_type = parse_media_type(caller.header("content-type") or "*/*")
    if content_type.name != "multipart/form-data":
        raise UnsupportedMedia("send the slide as the field 'file' of multipart/form-data")
    boundary = boundary_of(content_type.parameters)
    settings = caller.services.settings
    with FileParts(caller.archive.staging, settings.max_slide_bytes) as files:
        form = SlideForm(boundary, files)
        await receive(
            caller.request,
            form.take,
            limit_bytes=settings.max_request_bytes,
            metrics=caller.services.metrics,
        )
        record = await anyio.to_thread.run_sync(_accept, caller, form)
    headers = {"Location": f"{caller.address.root}{PATH}/{record.id}", "Cache-Control": "no-store"}
    return _json(record_as_json(record), status_code=202, headers=headers)


@router.get(
    "",
    openapi_extra=_NON_STANDARD,
    responses={200: {"description": "The latest first", "content": {"application/json": {}}}},
)
def list_slides(caller: Annotated[Caller, requires(Permission.JOBS_READ)]) -> Response:
    """List what was given lately, and how it goes with it."""
    given = values_of(parse_parameters(caller.query_string), "limit")
    if given and (re.fullmatch(r"[0-9]{1,6}", given[0]) is None or len(given) > 1):
        raise MalformedRequest("limit is not a natural number")
    limit = min(int(given[0]), MAXIMUM_LIMIT) if given else DEFAULT_LIMIT
    records = caller.archive.slides(by=caller.principal, limit=limit)
    return _json([record_as_json(one) for one in records], headers={"Cache-Control": "no-store"})


@router.get(
    "/{slide_id}",
    openapi_extra=_NON_STANDARD,
    responses={
        200: {"description": "One slide", "content": {"application/json": {}}},
        404: {"description": "No such slide"},
    },
)
def get_slide(slide_id: str, caller: Annotated[Caller, requires(Permission.JOBS_READ)]) -> Response:
    """Tell how it goes with one slide."""
    try:
        identifier = UUID(slide_id)
    except ValueError as error:
        raise NotFound("there is no such slide") from error
    record = caller.archive.slide(identifier, by=caller.principal)
    return _json(record_as_json(record), headers={"Cache-Control": "no-store"})


class SlideForm:
    """The form of an upload on its way to scratch.

    Attributes
    ----------
    fields
        Text fields by the names of the conversion request; several values of a name in order.
    filename, staged
        The slide; None until it has come.
    """

    def __init__(self, boundary: bytes, files: FileParts) -> None:
        self.fields: dict[str, list[str]] = {}
        self.filename: str | None = None
        self.staged: StagedFile | None = None
        self._files = files
        self._reader = MultipartReader(boundary, maximum_parts=MAXIMUM_PARTS)
        self._field: str | None = None
        self._text = bytearray()

    def take(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        for event in self._reader.feed(chunk):
            if isinstance(event, PartStarts):
                self._begin(event)
            elif isinstance(event, PartBytes):
                self._write(event.content)
            elif isinstance(event, PartEnds):
                self._end()

    def finish(self) -> tuple[str, StagedFile]:
        """Give name and file; raises `MalformedRequest` when the form is not whole."""
        self._reader.finish()
        if self.staged is None or self.filename is None:
            raise MalformedRequest("the form has no field 'file' with a file in it")
        return self.filename, self.staged

    def _begin(self, part: PartStarts) -> None:
        name, filename = _disposition(part.headers)
        if name == "file":
            if filename is None or self.filename is not None:
                raise MalformedRequest("the form needs exactly one field 'file', with a file name")
            self.filename = filename
            self._files.begin()
            return
        name = name.replace("-", "_")
        name = _ALIASES.get(name, name)
        if name not in _FIELDS:
            known = ", ".join(sorted(_FIELDS | set(_ALIASES)))
            raise MalformedRequest(
                f"there is no form field {name[:40]!r}; fields are: file, {known}"
            )
        self._field = name
        self._text.clear()

    def _write(self, content: memoryview) -> None:
        if self._field is None:
            self._files.write(content)
            return
        self._text += content
        if len(self._text) > MAXIMUM_FIELD_BYTES:
            raise TooLarge(f"the form field {self._field}", MAXIMUM_FIELD_BYTES)

    def _end(self) -> None:
        if self._field is None:
            self.staged = self._files.end()
            return
        try:
            text = self._text.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise MalformedRequest(f"the form field {self._field} is not UTF-8") from error
        if text:  # a browser sends fields that were left empty, too
            self.fields.setdefault(self._field, []).append(text)
        self._field = None


def _accept(caller: Caller, form: SlideForm) -> SlideRecord:
    filename, staged = form.finish()
    request = _request(form.fields, staged)
    return caller.archive.receive_slide(staged, filename, request, by=caller.principal)


def _request(given: Mapping[str, list[str]], staged: StagedFile) -> ConversionRequest:
    """Make the conversion request of form fields."""
    values: dict[str, Any] = {"source_sha256": staged.sha256}
    for name, texts in given.items():
        if name == "specimen_ids":
            values[name] = tuple(texts)
        elif len(texts) > 1:
            raise MalformedRequest(f"the form field {name} is given more than once")
        elif name == "micrometres_per_pixel":
            try:
                values[name] = float(texts[0])
            except ValueError as error:
                raise MalformedRequest(f"the form field {name} is not a number") from error
        else:
            values[name] = texts[0]
    try:
        return ConversionRequest(**values)
    except MalformedConversion as error:
        raise MalformedRequest(str(error)) from error


def _disposition(headers: Mapping[str, str]) -> tuple[str, str | None]:
    """Read name and file name of a form's part (RFC 7578 §4.2)."""
    text = headers.get("content-disposition", "")
    if text.partition(";")[0].strip().lower() != "form-data":
        raise MalformedRequest("a part of the form has no Content-Disposition: form-data")
    # Browsers escape a quote as %22, curl as \"; both write a backslash as it is.
    found = {
        key.lower(): quoted.replace('\\"', '"').replace("%22", '"') if quoted else token
        for key, quoted, token in re.findall(
            r';\s*(name|filename)=(?:"((?:\\"|[^"])*)"|([^;\s"]+))', text, re.IGNORECASE
        )
    }
    name = found.get("name")
    if not name:
        raise MalformedRequest("a part of the form has no name")
    filename = found.get("filename")
    return name, None if filename is None else _base_name(filename)


def _base_name(filename: str) -> str:
    """Give the last part of a file name: a path of the sender's machine means nothing here."""
    name = PureWindowsPath(PurePosixPath(filename).name).name
    name = "".join(character for character in name if character.isprintable())
    if not name or name in {".", ".."}:
        raise MalformedRequest("the file has no name")
    return name[-200:]


def record_as_json(record: SlideRecord) -> dict[str, Any]:
    """Give a record's facts as they go out."""
    return {key: value for key, value in asdict(record).items() if value is not None}


def _json(content: object, *, status_code: int = 200, headers: Mapping[str, str]) -> Response:
    body = orjson.dumps(content, default=str)
    return Response(
        body, status_code=status_code, media_type="application/json", headers=dict(headers)
    )
