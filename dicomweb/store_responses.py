"""The Store Instances Response: what became of each instance (PS3.18 §10.5.3, Annex I)."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from archive.errors import ArchiveError
from archive.model.identifiers import StudyUid
from archive.model.instances import StoreOutcome, StoreStatus
from archive.model.reasons import PROCESSING_FAILURE
from dicomweb.addresses import BaseUrl
from dicomweb.multipart import MultipartWriter, Part
from dicomweb.native_model import MEDIA_TYPE as DICOM_XML
from dicomweb.native_model import to_xml
from dicomweb.negotiation import Offer

OFFERS = (
    Offer("application/dicom+json"),
    Offer("application/json"),
    Offer(DICOM_XML),
    Offer(DICOM_XML, multipart=True),
)
MAXIMUM_WARNINGS = 10
"""Details that go into Warning headers; all instances have their reason in the body."""


def status_of(outcomes: Sequence[StoreOutcome]) -> int:
    """Give the status of PS3.18 Table 10.5.3-1."""
    failed = sum(one.failure is not None for one in outcomes)
    if failed == len(outcomes):
        return 409
    return 202 if failed or any(one.warnings for one in outcomes) else 200


def response_dataset(
    outcomes: Sequence[StoreOutcome], address: BaseUrl, study: StudyUid | None
) -> dict[str, Any]:
    """Make the Store Instances Response (PS3.18 Table I.1-1) as DICOM JSON."""
    stored = [_referenced(one, address) for one in outcomes if one.failure is None]
    failed = [_failed(one) for one in outcomes if one.failure is not None and one.sop_instance_uid]
    others = [
        _failed(one) for one in outcomes if one.failure is not None and not one.sop_instance_uid
    ]
    studies = _studies(outcomes, study)
    urls = [address.resource(uid) for uid in studies] if len(studies) == 1 else []
    dataset: dict[str, Any] = {"00081190": _element("UR", *urls)}
    for tag, items in (("00081198", failed), ("00081199", stored), ("0008119A", others)):
        if items:
            dataset[tag] = _element("SQ", *items)
    return dataset


def body_of(dataset: dict[str, Any], offer: Offer) -> tuple[str, bytes]:
    """Write the response as one of `OFFERS`; gives its Content-Type too."""
    if offer.name != DICOM_XML:
        return offer.name, orjson.dumps(dataset)
    content = to_xml(dataset)
    if not offer.multipart:
        return offer.name, content
    writer = MultipartWriter.of(offer.name)
    return writer.content_type, b"".join(writer.body([Part.of(offer.name, content)]))


def headers_of(
    outcomes: Sequence[StoreOutcome], address: BaseUrl, study: StudyUid | None
) -> dict[str, str]:
    """Tell where new instances are, and in words what was wrong with any (PS3.18 §10.5.3.2)."""
    return {**_location(outcomes, address, study), **_warning(outcomes, address)}


def _location(
    outcomes: Sequence[StoreOutcome], address: BaseUrl, study: StudyUid | None
) -> dict[str, str]:
    """Name what was created, where it is one resource (PS3.18 Table 10.5.3-2)."""
    new = [one.path for one in outcomes if one.status is StoreStatus.STORED and one.path]
    if not new:
        return {}
    studies = _studies(outcomes, study)
    if len(new) == 1:
        url = address.resource(new[0].study, new[0].series, new[0].instance)
    elif len(studies) == 1:
        url = address.resource(next(iter(studies)))
    else:
        return {}
    return {"Location": url, "Content-Location": url}


def _studies(outcomes: Sequence[StoreOutcome], study: StudyUid | None) -> set[StudyUid]:
    """Give the studies that something was stored in, or the one that the request is about."""
    stored = {one.path.study for one in outcomes if one.failure is None and one.path is not None}
    return {study} if study is not None and stored else stored


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


def _warning(outcomes: Sequence[StoreOutcome], address: BaseUrl) -> dict[str, str]:
    """Tell in words what was wrong, with the code, for people who read headers.

    PS3.18 §10.5.3.2 recommends it, in the form of RFC 7234 §5.5. Failures go first.
    """
    agent = urlsplit(address.root).netloc
    told = [one for one in outcomes if one.failure is not None]
    told += [one for one in outcomes if one.failure is None and one.warnings]
    details = [
        f"{reason.code:04X} {one.sop_instance_uid or 'a part'}: {reason.meaning}. {one.detail}"
        for one in told
        for reason in ([one.failure] if one.failure else one.warnings[:1])
    ][:MAXIMUM_WARNINGS]
    if not details:
        return {}
    clean = [re.sub(r"[^ !#-\[\]-~]", "?", text)[:300] for text in details]
    return {"Warning": ", ".join(f'299 {agent} "{text}"' for text in clean)}
