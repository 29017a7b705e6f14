"""Store transaction, STOW-RS (PS3.18 §10.5).

The whole request is received and checked for syntax before the first instance is stored: 400 then
truly means that nothing was stored (Table 10.5.3-1). From there on every instance stands alone.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter
from starlette.responses import Response

from archive.errors import BlobsUnavailable, CatalogUnavailable
from archive.model.identifiers import StudyUid, parse_uid
from archive.model.instances import Origin, StagedFile, StoreOutcome, StoreStatus
from archive.model.reasons import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, PROCESSING_FAILURE
from archive.part10.from_json import Attributes
from auth import Permission
from dicomweb import problems
from dicomweb.addresses import PREFIX
from dicomweb.dependencies import Caller, requires
from dicomweb.media_types import MediaType
from dicomweb.native_model import MEDIA_TYPE as DICOM_XML
from dicomweb.receiving import FileParts, receive
from dicomweb.store_bodies import (
    DICOM,
    DICOM_JSON,
    FileBody,
    MetadataBody,
    MetadataBudget,
    StoreBody,
    UnusablePart,
    content_type_of,
)
from dicomweb.store_responses import OFFERS, body_of, headers_of, response_dataset, status_of

router = APIRouter(prefix=PREFIX, tags=["Store (STOW-RS)"])

_METADATA = MetadataBudget()
_Storer = Annotated[Caller, requires(Permission.STUDIES_STORE)]
_CONTENT: dict[str, Any] = {"application/dicom+json": {}, "application/json": {}, DICOM_XML: {}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "All stored", "content": _CONTENT},
    202: {"description": "Some stored, or stored with warnings", "content": _CONTENT},
    400: {"description": "Bad syntax: nothing was stored"},
    409: {"description": "None stored; the reason of each is in the body", "content": _CONTENT},
    413: {"description": "Too large"},
    415: {"description": "Not a media type of DICOM files or metadata"},
    503: {
        "description": "The database or the blob store does not answer, or there is no room: "
        "nothing was stored"
    },
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/related": _BINARY,
            DICOM: _BINARY,
            DICOM_JSON: _BINARY,
            DICOM_XML: _BINARY,
        },
    }
}


@router.post("/studies", responses=_RESPONSES, openapi_extra=_BODY)
async def store_instances(caller: _Storer) -> Response:
    """Store instances of any studies."""
    return await _store(caller, None)


@router.post("/studies/{study}", responses=_RESPONSES, openapi_extra=_BODY)
async def store_study_instances(study: str, caller: _Storer) -> Response:
    """Store instances of one study; those of another are refused."""
    return await _store(caller, StudyUid(parse_uid(study)))


async def _store(caller: Caller, study: StudyUid | None) -> Response:
    offer = caller.choose(OFFERS)
    content_type, root = content_type_of(caller.header("content-type"))
    if root == DICOM:
        outcomes = await _store_files(caller, content_type, study)
    else:
        outcomes = await _store_metadata(caller, content_type, root, study)
    for outcome in outcomes:
        caller.services.metrics.stored(outcome.status.value)
    media_type, body = body_of(response_dataset(outcomes, caller.address, study), offer)
    return Response(
        body,
        status_code=status_of(outcomes),
        headers={
            "content-type": media_type,
            "Cache-Control": "no-store",
            **headers_of(outcomes, caller.address, study),
        },
    )


async def _receive(caller: Caller, body: StoreBody) -> None:
    """Receive a body while there is room for it, beyond what is kept free."""
    check_room = caller.archive.staging.check_room
    reserve = int(caller.services.settings.staging_reserve_bytes)

    def take(chunk: bytes) -> None:
        check_room(reserve + len(chunk))
        body.take(chunk)

    length = caller.header("content-length") or ""
    if length.isdigit() and int(length) <= caller.services.settings.max_request_bytes:
        check_room(reserve + int(length))  # before the client sends what cannot be kept
    await receive(
        caller.request,
        take,
        limit_bytes=caller.services.settings.max_request_bytes,
        metrics=caller.services.metrics,
    )
    await anyio.to_thread.run_sync(body.finish)


async def _store_files(
    caller: Caller, content_type: MediaType, study: StudyUid | None
) -> list[StoreOutcome]:
    limit = caller.services.settings.max_instance_bytes
    with FileParts(caller.archive.staging, limit) as files:
        body = await anyio.to_thread.run_sync(FileBody, content_type, files)
        await _receive(caller, body)

        def store(file: StagedFile) -> StoreOutcome:
            return caller.archive.store(file, by=caller.principal, origin=Origin.STOW, study=study)

        parts = [
            one if isinstance(one, UnusablePart) else partial(store, one) for one in body.parts
        ]
        return await anyio.to_thread.run_sync(_store_all, parts)


async def _store_metadata(
    caller: Caller, content_type: MediaType, root: str, study: StudyUid | None
) -> list[StoreOutcome]:
    base_url = f"{caller.address.root}{PREFIX}/"
    with MetadataBody(content_type, root, caller.archive.staging, base_url) as body:
        await _receive(caller, body)

        def store(attributes: Attributes) -> StoreOutcome:
            return caller.archive.store_metadata(
                attributes, body.find, by=caller.principal, origin=Origin.STOW, study=study
            )

        def store_all() -> list[StoreOutcome]:
            with _METADATA.take(body.metadata_bytes):
                outcomes = _store_all(partial(store, one) for one in body.instances())
            return outcomes + _store_all([*body.unusable, *body.unreferenced()])

        return await anyio.to_thread.run_sync(store_all)


def _store_all(parts: Iterable[Callable[[], StoreOutcome] | UnusablePart]) -> list[StoreOutcome]:
    """Store every part.

    Raises
    ------
    Exception
        When nothing was stored yet: a database or blobs that do not answer, or what nobody foresaw.
        Once something was, the rest is told as failed.
    """
    outcomes: list[StoreOutcome] = []
    for part in parts:
        if isinstance(part, UnusablePart):
            outcomes.append(
                StoreOutcome("", None, StoreStatus.REJECTED, CANNOT_UNDERSTAND, part.why)
            )
            continue
        try:
            outcome = part()
        except (CatalogUnavailable, BlobsUnavailable):
            if not any(one.failure is None for one in outcomes):
                raise
            outcome = StoreOutcome(
                "", None, StoreStatus.REJECTED, OUT_OF_RESOURCES, "no room, or no answer"
            )
        except Exception as error:
            if not any(one.failure is None for one in outcomes):
                raise
            problems.answer(error)  # logged as what it is; the answer tells of what was stored
            outcome = StoreOutcome(
                "", None, StoreStatus.REJECTED, PROCESSING_FAILURE, "something went wrong here"
            )
        outcomes.append(outcome)
    return outcomes
