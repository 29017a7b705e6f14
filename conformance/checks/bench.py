"""What a check is given: the service, the samples of the run, short ways to ask and to demand."""

import contextlib
import uuid
from collections.abc import Iterator
from urllib.parse import quote

from pydicom.dataset import Dataset

from conformance.checks import multipart
from conformance.checks.collection import MAKERS
from conformance.checks.registry import Failed, Gone, Skipped
from conformance.checks.samples import Maker, Sample
from conformance.checks.service import Answer, Service

JSON = "application/dicom+json"
OCTETS = "application/octet-stream"
EVERY_PART_TYPE = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
"""What Slim, dicom-microscopy-viewer and OHIF ask frames with."""


class Bench:
    """One run of the checks against one service.

    Parameters
    ----------
    service
        What is looked at.
    run
        Makes the identifiers of everything that is stored.
    uri_service
        Path of the URI service (WADO-URI) below the base URL, or its whole URL.
    """

    def __init__(self, service: Service, run: uuid.UUID, *, uri_service: str = "/wado") -> None:
        self.service = service
        self.maker = Maker(run)
        self.uri_service = uri_service
        self.refusals: dict[str, str] = {}
        """Why a sample could not be stored, by its name."""
        self._samples: dict[str, Sample] = {}
        self.left_behind: list[str] = []
        """Studies that could not be deleted at the end."""
        self._stored: dict[str, str] = {}

    # --- what is stored -------------------------------------------------------------------------

    def contact(self) -> None:
        """Ask for something harmless; `Failed` when nobody answers, or we are not let in."""
        answer = self.get("/studies", JSON, query="limit=1")
        if answer.status in {401, 403}:
            raise Failed(f"{answer}: it wants a token, or another one")

    def store_samples(self) -> None:
        """Store every sample, one a request."""
        for name in MAKERS:
            sample = self.made(name)
            try:
                answer = self.store(sample.content)
            except Gone:
                raise
            except Failed as failure:
                self.refusals[name] = str(failure)
                continue
            if answer.status in {200, 202}:
                self.remember(sample.study, sample.study_path)
            else:
                self.refusals[name] = f"{answer}: {answer.quoted}"

    def remember(self, study: str, path: str | None = None) -> None:
        """Remember a study that is to be deleted at the end of the run."""
        self._stored[study] = path or f"/studies/{study}"

    def clean_up(self) -> list[str]:
        """Delete what was stored, where the service has delete; give the studies that are left."""
        left = []
        for study, path in self._stored.items():
            with contextlib.suppress(Failed):
                if self.service.send("DELETE", path).status in {200, 202, 204, 404, 410}:
                    continue
            left.append(study)
        return left

    def made(self, name: str) -> Sample:
        """Give a sample, stored or not."""
        if name not in self._samples:
            self._samples[name] = MAKERS[name](self.maker, name)
        return self._samples[name]

    def __getitem__(self, name: str) -> Sample:
        """Give a sample that is stored; skips the check when it could not be."""
        if name in self.refusals:
            raise Skipped(f"the sample “{name}” could not be stored: {self.refusals[name]}")
        return self.made(name)

    @property
    def slide(self) -> Sample:
        """The JPEG level of a slide."""
        return self["slide"]

    @property
    def listed(self) -> list[Sample]:
        """The studies that searches look through."""
        return [self[name] for name in MAKERS if name.startswith("listed")]

    @property
    def listed_patient(self) -> str:
        """The Patient ID of those."""
        return str(self["listed 1"].dataset.PatientID)

    def stored(self) -> Iterator[Sample]:
        """Give every sample that is stored."""
        for name in MAKERS:
            if name not in self.refusals:
                yield self.made(name)

    # --- asking ---------------------------------------------------------------------------------

    def get(
        self, path: str, accept: str | None = "*/*", *, query: str = "", **headers: str
    ) -> Answer:
        """Ask for what lies below the base URL."""
        return self.service.get(path, accept, query=query, **headers)

    def store(self, *files: bytes, path: str = "/studies", accept: str = JSON) -> Answer:
        """Store Part 10 files."""
        return self.post(multipart.join(*files), path=path, accept=accept)

    def post(
        self,
        body: bytes,
        content_type: str = multipart.related(),
        *,
        path: str = "/studies",
        accept: str | None = JSON,
        **headers: str,
    ) -> Answer:
        """Send the body of a store request."""
        fields = {"Content-Type": content_type}
        if accept is not None:
            fields["Accept"] = accept
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.service.send("POST", path, fields, body)

    def search(
        self, path: str, query: str, accept: str = JSON
    ) -> list[dict[str, dict[str, object]]]:
        """Search, and give the rows; no content is no row."""
        answer = self.get(path, accept, query=query)
        if answer.status == 204:
            return []
        expect_status(answer, 200)
        rows = answer.json()
        expect(isinstance(rows, list), f"{answer.request}: the result is no array")
        return list(rows)

    def metadata(self, sample: Sample) -> dict[str, dict[str, object]]:
        """Give the metadata of an instance as DICOM JSON."""
        answer = self.get(sample.path + "/metadata", JSON)
        expect_status(answer, 200)
        found = answer.json()
        expect(
            isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict),
            f"{answer.request}: metadata of an instance is not an array of one object",
        )
        return dict(found[0])


# --- demanding ----------------------------------------------------------------------------------


def expect(holds: object, otherwise: str) -> None:
    """Fail the check when something does not hold."""
    if not holds:
        raise Failed(otherwise)


def expect_status(answer: Answer, *statuses: int) -> None:
    """Fail the check when the status is not one of those."""
    if answer.status not in statuses:
        wanted = " or ".join(map(str, statuses))
        raise Failed(f"{answer}, not {wanted}")


def expect_type(answer: Answer, *types: str) -> None:
    """Fail the check when the media type is not one of those."""
    if answer.content_type not in types:
        raise Failed(f"{answer}, not as {' or '.join(types)}")


def only_part(answer: Answer) -> multipart.Part:
    """Give the one part of a successful multipart answer."""
    expect_status(answer, 200)
    parts = answer.parts
    expect(len(parts) == 1, f"{answer.request}: {len(parts)} parts, not 1")
    return parts[0]


def same_frame(got: bytes, stored: bytes) -> bool:
    """Tell whether bytes are a stored frame, with or without its padding."""
    return got == stored or got == stored + b"\0" or got + b"\0" == stored


def values(row: dict[str, dict[str, object]], tag: str) -> list[object]:
    """Give the values of an attribute of a DICOM JSON object; none when it has none."""
    given = row.get(tag, {}).get("Value", [])
    return list(given) if isinstance(given, list) else []


def value(row: dict[str, dict[str, object]], tag: str) -> object:
    """Give the first value of an attribute, or None."""
    return next(iter(values(row, tag)), None)


def uids(rows: list[dict[str, dict[str, object]]], tag: str = "0020000D") -> list[str]:
    """Give one UID of every row."""
    return [str(value(row, tag)) for row in rows]


def tag_of(keyword: str) -> str:
    """Give the eight digits of an attribute's tag."""
    probe = Dataset()
    setattr(probe, keyword, None)
    return f"{next(iter(probe)).tag:08X}"


def escaped(text: str) -> str:
    """Percent-encode what is not a letter, a digit or one of -._~ (RFC 3986 §2.3)."""
    return quote(text, safe="")
