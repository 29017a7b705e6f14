"""Store transaction, STOW-RS, of DICOM files (PS3.18 §10.5).

The whole request is received and checked for syntax before the first instance is stored: 400 then
truly means that nothing was stored (Table 10.5.3-1). From there on every instance stands alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

import anyio.to_thread
import orjson
from fastapi import APIRouter
from starlette.responses import Response

from archive.errors import (
    ArchiveError,
    BlobsUnavailable,
    CatalogUnavailable,
    MalformedRequest,
    UnsupportedMedia,
)
from archive.model.identifiers import StudyUid, parse_uid
from archive.model.instances import Origin, StagedFile, StoreOutcome, StoreStatus
from archive.model.reasons import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, PROCESSING_FAILURE, Reason
from auth import Permission
from dicomweb.addresses import PREFIX, BaseUrl
from dicomweb.dependencies import Caller, requires
from dicomweb.multipart import MultipartReader, PartBytes, PartEnds, PartStarts, boundary_of
from dicomweb.negotiation import MediaType, Offer, parse_media_type
from dicomweb.receiving import FileParts, receive

router = APIRouter(prefix=PREFIX, tags=["Store (STOW-RS)"])

DICOM = "application/dicom"
OFFERS = (Offer("application/dicom+json"), Offer("application/json"))
MAXIMUM_WARNINGS = 10
"""Details of failures that go into Warning headers; all of them have their reason in the body."""

_HARMLESS_ENCODINGS = {"", "binary", "8bit", "7bit"}
_Storer = Annotated[Caller, requires(Permission.STUDIES_STORE)]
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "All stored", "content": {"application/dicom+json": {}}},
    202: {"description": "Some stored, or stored with warnings"},
    400: {"description": "Bad syntax: nothing was stored"},
    409: {"description": "None stored; the reason of each is in the body"},
    413: {"description": "Too large"},
    415: {"description": "Not application/dicom"},
    503: {"description": "The database or the blob store does not answer: nothing was stored"},
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/related": {"schema": {"type": "string", "format": "binary"}},
            DICOM: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@dataclass(frozen=True, slots=True)
class UnusablePart:
    """A part that is no DICOM file by its own header."""

    why: str


@router.post("/studies", responses=_RESPONSES, openapi_extra=_BODY)
async def store_instances(caller: _Storer) -> Response:
    """Store instances of any studies."""
    return await _store(caller, None)


@router.post("/studies/{study}", responses=_RESPONSES, openapi_extra=_BODY)
async def store_study_instances(study: str, caller: _Storer) -> Response:
    """Store instances of one study; those of another are refused."""
    return await _store(caller, StudyUid(parse_uid(study)))


class StoreBody:
    """The body of a store request on its way to scratch.

    Attributes
    ----------
    parts
        In the order received.
    """

    def __init__(self, content_type: MediaType, files: FileParts) -> None:
        self.parts: list[StagedFile | UnusablePart] = []
        self._files = files
        self._reader: MultipartReader | None = None
        self._unusable: UnusablePart | None = None
        if content_type.name == DICOM:
            files.begin()
        else:
            self._reader = MultipartReader(_boundary(content_type))

    def take(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._reader is None:
            self._files.write(memoryview(chunk))
            return
        for event in self._reader.feed(chunk):
            if isinstance(event, PartStarts):
                self._unusable = _why_unusable(event)
                if self._unusable is None:
                    self._files.begin()
            elif isinstance(event, PartBytes):
                if self._unusable is None:
                    self._files.write(event.content)
            elif isinstance(event, PartEnds):
                self.parts.append(self._unusable or self._files.end())

    def finish(self) -> None:
        """Say that the body has ended; raises `MalformedRequest` when it is not whole, or empty."""
        if self._reader is None:
            self.parts.append(self._files.end())
        else:
            self._reader.finish()
        if not self.parts:
            raise MalformedRequest("the multipart body has no parts")


async def _store(caller: Caller, study: StudyUid | None) -> Response:
    offer = caller.choose(OFFERS)
    content_type = _content_type(caller.header("content-type"))
    settings = caller.services.settings
    with FileParts(caller.archive.staging, settings.max_instance_bytes) as files:
        body = await anyio.to_thread.run_sync(StoreBody, content_type, files)
        await receive(
            caller.request,
            body.take,
            limit_bytes=settings.max_request_bytes,
            metrics=caller.services.metrics,
        )
        await anyio.to_thread.run_sync(body.finish)
        outcomes = await anyio.to_thread.run_sync(_store_all, caller, body.parts, study)
    for outcome in outcomes:
        caller.services.metrics.stored(outcome.status.value)
    return Response(
        orjson.dumps(response_dataset(outcomes, caller.address, study)),
        status_code=status_of(outcomes),
        headers={
            "content-type": offer.name,
            "Cache-Control": "no-store",
            **_warning(caller, outcomes),
        },
    )


def _content_type(text: str | None) -> MediaType:
    """Check what the request says its body is (PS3.18 §10.5.1.2)."""
    if text is None:
        raise UnsupportedMedia(
            'a store request needs Content-Type: multipart/related; type="application/dicom"'
        )
    media_type = parse_media_type(text)
    root = media_type.parameters.get("type", DICOM) if media_type.is_multipart else media_type.name
    if root.partition(";")[0].strip().lower() != DICOM:
        raise UnsupportedMedia(
            f'{root[:80]!r} is not taken: send multipart/related; type="application/dicom"'
        )
    if media_type.is_multipart:
        _boundary(media_type)
    return media_type


def _boundary(media_type: MediaType) -> bytes:
    return boundary_of(media_type.parameters)


def _why_unusable(part: PartStarts) -> UnusablePart | None:
    """Tell why a part cannot be a DICOM file; None when it can."""
    encoding = part.headers.get("content-transfer-encoding", "").lower()
    if encoding not in _HARMLESS_ENCODINGS:
        return UnusablePart("a part with a Content-Transfer-Encoding other than binary")
    try:
        name = parse_media_type(part.headers.get("content-type", DICOM)).name
    except MalformedRequest:
        name = ""
    return None if name == DICOM else UnusablePart("a part that is not application/dicom")


def _store_all(
    caller: Caller, parts: Sequence[StagedFile | UnusablePart], study: StudyUid | None
) -> list[StoreOutcome]:
    """Store every part.

    Raises
    ------
    CatalogUnavailable, BlobsUnavailable
        When one of them does not answer and nothing was stored yet; once something was, the rest
        is told as failed.
    """
    outcomes: list[StoreOutcome] = []
    for part in parts:
        if isinstance(part, UnusablePart):
            outcomes.append(
                StoreOutcome("", None, StoreStatus.REJECTED, CANNOT_UNDERSTAND, part.why)
            )
            continue
        try:
            outcome = caller.archive.store(
                part, by=caller.principal, origin=Origin.STOW, study=study
            )
        except (CatalogUnavailable, BlobsUnavailable):
            if not any(one.failure is None for one in outcomes):
                raise
            outcome = StoreOutcome(
                "", None, StoreStatus.REJECTED, OUT_OF_RESOURCES, "no room, or no answer"
            )
        outcomes.append(outcome)
    return outcomes


def _rejected(failure: Reason, detail: str) -> StoreOutcome:
    return StoreOutcome("", None, StoreStatus.REJECTED, failure, detail)


def status_of(outcomes: Sequence[StoreOutcome]) -> int:
    """Give the status of PS3.18 Table 10.5.3-1."""
    failed = sum(one.failure is not None for one in outcomes)
    if failed == len(outcomes):
        return 409
    return 202 if failed or any(one.warnings for one in outcomes) else 200


def response_dataset(
    outcomes: Sequence[StoreOutcome], address: BaseUrl, study: StudyUid | None
) -> dict[str, Any]:
    """Make the Store Instances Response (PS3.18 Annex I) as DICOM JSON."""
    stored = [_referenced(one, address) for one in outcomes if one.failure is None]
    failed = [_failed(one) for one in outcomes if one.failure is not None and one.sop_instance_uid]
    others = [
        _failed(one) for one in outcomes if one.failure is not None and not one.sop_instance_uid
    ]
    studies = {one.path.study for one in outcomes if one.failure is None and one.path is not None}
    if study is not None and studies:
        studies = {study}
    urls = [address.resource(uid) for uid in studies] if len(studies) == 1 else []
    dataset: dict[str, Any] = {"00081190": _element("UR", *urls)}
    for tag, items in (("00081198", failed), ("00081199", stored), ("0008119A", others)):
        if items:
            dataset[tag] = _element("SQ", *items)
    return dataset


def _referenced(outcome: StoreOutcome, address: BaseUrl) -> dict[str, Any]:
    path = outcome.path
    if path is None:
        raise ArchiveError("a stored instance has no path")
    item = {
        "00081150": _element("UI", outcome.sop_class_uid),
        "00081155": _element("UI", path.instance),
        "00081190": _element("UR", address.resource(path.study, path.series, path.instance)),
    }
    if outcome.warnings:
        item["00081196"] = _element("US", outcome.warnings[0].code)
    return dict(sorted(item.items()))


def _failed(outcome: StoreOutcome) -> dict[str, Any]:
    failure = outcome.failure or PROCESSING_FAILURE
    item = {"00081197": _element("US", failure.code)}
    if outcome.sop_instance_uid:
        classes = [outcome.sop_class_uid] if outcome.sop_class_uid else []
        item = {
            "00081150": _element("UI", *classes),
            "00081155": _element("UI", outcome.sop_instance_uid),
            **item,
        }
    return item


def _element(vr: str, *values: object) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def _warning(caller: Caller, outcomes: Sequence[StoreOutcome]) -> dict[str, str]:
    """Tell in words why instances failed, for people who read headers (RFC 7234 §5.5)."""
    agent = urlsplit(caller.address.root).netloc
    details = [
        f"{one.sop_instance_uid or 'a part'}: {one.failure.meaning}. {one.detail}"
        for one in outcomes
        if one.failure is not None
    ][:MAXIMUM_WARNINGS]
    if not details:
        return {}
    clean = [re.sub(r"[^ !#-\[\]-~]", "?", text)[:300] for text in details]
    return {"Warning": ", ".join(f'299 {agent} "{text}"' for text in clean)}
