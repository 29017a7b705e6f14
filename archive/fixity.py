"""Proofs that every blob is what was stored, and a catalog made again from them.

`verify` reads every blob and holds it against the catalog, in flat memory, while the archive works.
`rebuild` makes the catalog anew from the blobs alone: a blob's key carries the SHA-256 of its
content, so that altered ones are known without a catalog, are reported, and are not indexed.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError

from archive import deletion
from archive.blobs import SupportsLocalPath, hash_file, is_record_key, sha256_of_key
from archive.catalog import audit, rebuilding, tombstones
from archive.catalog.lookup import KeptBlob, blobs_after, find_by_uid, is_kept, which_are_kept
from archive.errors import BlobMissing, InvalidInstance
from archive.model.identifiers import InstancePath
from archive.model.instances import BlobKey, Origin, StagedFile
from archive.store import prepare, record
from auth import Permission, Policy, Principal

if TYPE_CHECKING:
    from archive.archive import Archive

GRACE = timedelta(hours=1)
"""A blob younger than this without a row may be one that is being stored right now."""
MAXIMUM_FINDINGS = 10_000
"""Findings of a kind that are listed; all are counted."""

_BATCH = 500
_STEP = 1024 * 1024

Progress = Callable[[int, int], None]
"""Called with the blobs and the bytes done so far."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One blob with which something is wrong."""

    blob_key: BlobKey
    path: InstancePath | None
    """None for a blob that no instance has."""
    detail: str


@dataclass(slots=True)
class Findings:
    """Findings of one kind."""

    count: int = 0
    listed: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Count a finding, and list it while there is room."""
        self.count += 1
        if len(self.listed) < MAXIMUM_FINDINGS:
            self.listed.append(finding)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.listed)

    def __len__(self) -> int:
        return self.count


@dataclass(slots=True)
class VerifyReport:
    """What `verify` found."""

    checked: int = 0
    """Instances whose blob was looked at."""
    bytes_read: int = 0
    missing: Findings = field(default_factory=Findings)
    """Instances without their blob."""
    altered: Findings = field(default_factory=Findings)
    """Instances whose blob is not what was stored."""
    stray: Findings = field(default_factory=Findings)
    """Blobs that no instance has: litter of stores that were cut off. They harm nobody."""
    young: int = 0
    """Blobs without an instance that may be on their way in."""
    deleted: int = 0
    """Blobs of deletions that wait for their day."""

    @property
    def ok(self) -> bool:
        """Whether everything that was acknowledged is there and whole."""
        return not self.missing.count and not self.altered.count


@dataclass(slots=True)
class RebuildReport:
    """What `rebuild` did."""

    indexed: int = 0
    """Instances that are in the catalog now, because of this run."""
    present: int = 0
    """Instances that a run before this one had indexed already."""
    bytes_read: int = 0
    deleted: int = 0
    """Blobs of deletions, and the records of these; left out."""
    restored: int = 0
    """Deletions that the database had lost."""
    altered: Findings = field(default_factory=Findings)
    """Blobs that are not what their key says; left out."""
    unreadable: Findings = field(default_factory=Findings)
    """Blobs that are whole and no instance that can be kept; left out."""
    conflicts: Findings = field(default_factory=Findings)
    """Blobs of a SOP Instance UID that another blob has already; left out."""

    @property
    def ok(self) -> bool:
        """Whether nothing was left out."""
        return not (self.altered.count or self.unreadable.count or self.conflicts.count)


def verify(
    archive: "Archive",
    *,
    by: Principal,
    progress: Progress | None = None,
    grace: timedelta = GRACE,
) -> VerifyReport:
    """Read every blob again and hold it against the catalog, and look for blobs nobody knows.

    Parameters
    ----------
    by
        Who asks; the audit log keeps that they did, and whether all was well.
    grace
        A blob without an instance is stray only when it is older than this.

    Raises
    ------
    Forbidden
        When `by` may not verify.
    CatalogUnavailable, BlobsUnavailable
        When either goes away in between.
    """
    Policy().require(by, Permission.ARCHIVE_VERIFY)
    report = VerifyReport()
    tell = progress or (lambda _count, _bytes: None)
    for kept in _all_kept(archive):
        _verify_one(archive, kept, report)
        tell(report.checked, report.bytes_read)
    oldest = archive.stores.now() - grace
    for keys in batched(archive.blobs.keys(), _BATCH):
        with archive.database.begin() as session:
            kept_keys = which_are_kept(session, keys)
            buried = tombstones.which_are_buried(session, keys)
        report.deleted += len(buried)
        for key in keys:
            if key in kept_keys or key in buried:
                continue
            try:
                stat = archive.blobs.stat(key)
            except BlobMissing:  # a store that was refused has just cleaned up
                continue
            if stat.modified_at > oldest:
                report.young += 1
            elif not _is_kept(archive, key) and not _is_buried(archive, key):
                report.stray.add(Finding(key, None, f"{stat.size} bytes without an instance"))
    _record(archive, "verify", by=by, ok=report.ok)
    return report


def _record(archive: "Archive", action: str, *, by: Principal, ok: bool) -> None:
    outcome = audit.SUCCESS if ok else audit.FAILURE
    with archive.database.begin() as session:
        audit.record(session, action, by=by, now=archive.stores.now(), outcome=outcome)


def _all_kept(archive: "Archive") -> Iterator[KeptBlob]:
    last = ""
    while True:
        with archive.database.begin() as session:  # not one transaction for hours
            batch = blobs_after(session, last, limit=_BATCH)
        if not batch:
            return
        yield from batch
        last = batch[-1].blob_key


def _verify_one(archive: "Archive", kept: KeptBlob, report: VerifyReport) -> None:
    key = kept.blob_key
    try:
        size, sha256 = hash_blob(archive, key)
    except BlobMissing:
        if _is_kept(archive, key):  # else it was deleted since the catalog was read
            report.checked += 1
            report.missing.add(Finding(key, kept.path, "the blob is not in the store"))
        return
    report.checked += 1
    report.bytes_read += size
    if size != kept.size:
        detail = f"the blob has {size} bytes, {kept.size} were stored"
        report.altered.add(Finding(key, kept.path, detail))
    elif sha256 != kept.sha256:
        report.altered.add(Finding(key, kept.path, "the blob has another SHA-256 than was stored"))


def _is_kept(archive: "Archive", key: BlobKey) -> bool:
    with archive.database.begin() as session:
        return is_kept(session, key)


def _is_buried(archive: "Archive", key: BlobKey) -> bool:
    with archive.database.begin() as session:
        return key in tombstones.which_are_buried(session, [key])


def hash_blob(archive: "Archive", key: BlobKey) -> tuple[int, str]:
    """Read a blob from end to end; gives its bytes and their SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    size = 0
    with archive.blobs.open(key) as file:
        while chunk := file.read(_STEP):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


# --- rebuild --------------------------------------------------------------------------------------


def rebuild(
    archive: "Archive", *, by: Principal, progress: Progress | None = None
) -> RebuildReport:
    """Make the catalog again from the blobs.

    Studies, series and instances are emptied first and come back one by one; tokens, slides, audit
    events and the change feed stay, and the feed goes on. What was known of the blobs before (when
    they were stored, by which door) is remembered until the end, and known blobs come first, so
    that a stray blob never takes the place of the one that was acknowledged. What was deleted does
    not come back. When it is interrupted, the next run goes on where this one stopped.

    Nothing should be stored meanwhile; searches see what is back already.

    Raises
    ------
    Forbidden
        When `by` may not verify.
    CatalogUnavailable, BlobsUnavailable
        When either goes away in between; run it again.
    """
    Policy().require(by, Permission.ARCHIVE_VERIFY)
    report = RebuildReport()
    tell = progress or (lambda _count, _bytes: None)
    with archive.database.begin() as session:
        rebuilding.begin(session)
    report.restored = deletion.restore(archive.deletions)
    for keys in batched(_known_first(archive), _BATCH):
        with archive.database.begin() as session:
            present = which_are_kept(session, keys)
            buried = tombstones.which_are_buried(session, keys)
        report.deleted += len(buried)
        for key in keys:
            if key in present:
                report.present += 1
            elif key not in buried and not is_record_key(key):
                _index(archive, key, report)
            tell(report.indexed + report.present, report.bytes_read)
    with archive.database.begin() as session:
        rebuilding.end(session)
    _record(archive, "rebuild", by=by, ok=report.ok)
    return report


def _known_first(archive: "Archive") -> Iterator[BlobKey]:
    """Give the keys of every blob: those that the catalog knew, oldest first, then the others."""
    after: tuple[datetime, BlobKey] | None = None
    while True:
        with archive.database.begin() as session:
            known = rebuilding.known_after(session, after, limit=_BATCH)
        if not known:
            break
        yield from (key for _, key in known)
        after = known[-1]
    for keys in batched(archive.blobs.keys(), _BATCH):
        with archive.database.begin() as session:
            yield from rebuilding.unknown(session, keys)


def _index(archive: "Archive", key: BlobKey, report: RebuildReport) -> None:
    """Put one blob into the catalog, if it is whole and an instance."""
    try:
        with _local(archive, key) as staged:
            report.bytes_read += staged.size
            if staged.sha256 != sha256_of_key(key):
                detail = "the content has another SHA-256 than its key says"
                report.altered.add(Finding(key, None, detail))
                return
            prepared = prepare(staged, archive.stores.limits)
        stored_at = archive.blobs.stat(key).modified_at
    except InvalidInstance as error:
        report.unreadable.add(Finding(key, None, str(error)))
        return
    except BlobMissing:
        return  # known once, and gone: `verify` would have said so; there is nothing to index
    with archive.database.begin() as session:
        known = rebuilding.known(session, key)
    try:
        record(
            archive.stores,
            prepared.entry,
            blob_key=key,
            by=Principal.service("rebuild"),
            origin=Origin.REBUILD if known is None else known.origin,
            stored_at=stored_at if known is None else known.stored_at,
        )
    except IntegrityError:
        path = prepared.entry.path
        with archive.database.begin() as session:
            other = find_by_uid(session, path.instance)
        detail = f"the UID is that of blob {'?' if other is None else other.blob_key}"
        report.conflicts.add(Finding(key, path, detail))
        return
    report.indexed += 1


@contextmanager
def _local(archive: "Archive", key: BlobKey) -> Iterator[StagedFile]:
    """Give a blob as a file of this machine, hashed: itself, or a copy that is removed again."""
    if isinstance(archive.blobs, SupportsLocalPath):
        yield hash_file(archive.blobs.local_path(key))
        return
    with archive.blobs.open(key) as file, archive.staging.receive() as writer:
        while chunk := file.read(_STEP):
            writer.write(chunk)
        staged = writer.finish()
    try:
        yield staged
    finally:
        archive.staging.discard(staged)
