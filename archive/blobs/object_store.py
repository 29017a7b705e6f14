"""Blobs as objects in a bucket of MinIO, or of anything else that speaks S3.

The SDK signs and sends, but for ranged reads that go well (see `range_client`); this module decides
what is asked, how often and for how long, and turns what goes wrong into errors of the archive.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error, ServerError

from archive.blobs.keys import check_key, is_key
from archive.blobs.location import ObjectLocation
from archive.blobs.object_reader import ObjectReader
from archive.blobs.range_client import RangeClient, RangeRead
from archive.blobs.spans import read_merged
from archive.blobs.staging import hash_file
from archive.blobs.store import BlobStat, too_short
from archive.errors import BlobExists, BlobMissing, BlobsUnavailable, FixityFailure
from archive.model.frames import ByteSpan
from archive.model.instances import BlobKey, StagedFile

MAXIMUM_GAP_BYTES = 256 * 1024
"""A request takes about as long as this many bytes on a local network."""

PART_BYTES = 16 * 1024 * 1024
"""One part of a multipart upload; what is smaller goes in one request."""

MAXIMUM_PARTS = 10_000
"""Parts of one object at most, by the S3 interface."""

PARALLEL_PARTS = 2
"""Parts on their way at once. Memory of an upload is this many parts and the one being read."""

CONNECTIONS = 64
"""Kept open to the store: the most frame requests that one process serves at once."""

CONNECT_SECONDS = 3.0
READ_SECONDS = 60.0
"""A store under load may think for long before the first byte; past this it counts as down."""

_MISSING = {"NoSuchKey", "NoSuchVersion"}
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}


class ObjectStoreBlobs:
    """A `BlobStore` over a bucket; see there for the contract.

    An upload that is cut off by the death of the process leaves its parts in the store, where no
    listing shows them; MinIO removes such after a day, a rule of the bucket's lifecycle does it
    elsewhere.

    Parameters
    ----------
    location
        Where, and with which keys.

    Raises
    ------
    BlobsUnavailable
        When the store does not answer, refuses the keys, or has no such bucket.
    """

    def __init__(self, location: ObjectLocation) -> None:
        self._location = location
        self._prefix = f"{location.prefix}/" if location.prefix else ""
        endpoint = urlsplit(location.endpoint)
        self._http = urllib3.PoolManager(
            maxsize=CONNECTIONS,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=urllib3.Retry(
                total=3,
                connect=2,
                backoff_factor=0.1,
                status_forcelist=[500, 502, 503, 504],
                # A server that starts says "in a minute", and is there in a second. Who called
                # waits for an answer; to try later is their decision.
                respect_retry_after_header=False,
            ),
        )
        self._client = Minio(
            endpoint.netloc,
            access_key=location.access_key,
            secret_key=location.secret_key,
            secure=endpoint.scheme == "https",
            region=location.region,
            http_client=self._http,
        )
        self._ranges = RangeClient(
            location,
            connections=CONNECTIONS,
            connect_seconds=CONNECT_SECONDS,
            read_seconds=READ_SECONDS,
        )
        self.check()

    def put(self, key: BlobKey, staged: StagedFile) -> None:
        """Keep `staged` as `key` (see `BlobStore.put`).

        Each part carries a hash of its bytes that the store checks before it takes them, and the
        object appears when its last part is there. The size is asked for afterwards all the same:
        it is the store's own word, given after the bytes are safe.
        """
        check_key(key)
        with contextlib.suppress(BlobMissing):
            self.stat(key)
            raise BlobExists(key)
        with staged.path.open("rb") as file, self._reporting():
            self._check_as_staged(key, staged)
            self._client.put_object(
                self._location.bucket,
                self._prefix + key,
                file,
                length=staged.size,
                content_type="application/dicom",
                part_size=part_bytes(staged.size),
                num_parallel_uploads=PARALLEL_PARTS,
            )
        if self.stat(key).size != staged.size:
            self.delete(key)
            message = f"the object store kept blob {key} with another size than was sent"
            raise BlobsUnavailable(message)

    def read(self, key: BlobKey, spans: Sequence[ByteSpan]) -> list[bytes]:
        """Read spans (see `BlobStore.read`)."""
        check_key(key)

        def read_one(span: ByteSpan) -> bytes:
            if span.length == 0:  # HTTP knows no empty range
                return b""
            content = self.read_range(key, span).content
            if len(content) != span.length:
                raise too_short(key)
            return bytes(content)

        return read_merged(spans, read_one, maximum_gap_bytes=MAXIMUM_GAP_BYTES)

    @contextlib.contextmanager
    def open(self, key: BlobKey) -> Iterator[BinaryIO]:
        """Open a blob for reading (see `BlobStore.open`)."""
        size = self.stat(key).size

        def request(offset: int) -> urllib3.BaseHTTPResponse:
            with self._reporting(key):
                return self._client.get_object(self._location.bucket, self._prefix + key, offset)

        with ObjectReader(request, size) as raw, io.BufferedReader(raw, 256 * 1024) as file:
            yield file

    def stat(self, key: BlobKey) -> BlobStat:
        """Give size and age (see `BlobStore.stat`)."""
        check_key(key)
        with self._reporting(key):
            found = self._client.stat_object(self._location.bucket, self._prefix + key)
        if found.size is None or found.last_modified is None:
            message = f"the object store gave neither size nor date of blob {key}"
            raise BlobsUnavailable(message)
        return BlobStat(found.size, found.last_modified)

    def delete(self, key: BlobKey) -> None:
        """Remove a blob (see `BlobStore.delete`)."""
        check_key(key)
        with self._reporting():
            self._client.remove_object(self._location.bucket, self._prefix + key)

    def keys(self, prefix: str = "") -> Iterator[BlobKey]:
        """Give the keys (see `BlobStore.keys`)."""
        listing = self._client.list_objects(
            self._location.bucket, prefix=self._prefix + prefix, recursive=True
        )
        while True:
            with self._reporting():
                found = next(listing, None)
            if found is None:
                return
            key = (found.object_name or "").removeprefix(self._prefix)
            if is_key(key):
                yield BlobKey(key)

    def check(self) -> None:
        """Raise `BlobsUnavailable` unless the store answers and has the bucket."""
        with self._reporting():
            exists = self._client.bucket_exists(self._location.bucket)
        if not exists:
            message = (
                f"the object store at {self._location.endpoint} has no bucket "
                f"{self._location.bucket!r}: make it, or set COVERSLIP_BLOBS to one that is there"
            )
            raise BlobsUnavailable(message)

    def close(self) -> None:
        """Close the connections."""
        self._ranges.close()
        self._http.clear()

    def read_range(self, key: BlobKey, span: ByteSpan) -> RangeRead:
        """Read a span that is not empty and may end behind the blob, in one request.

        Raises
        ------
        BlobMissing
            When there is no such blob.
        FixityFailure
            When the blob ends before the span begins.
        """
        check_key(key)
        with self._reporting(key):
            found = self._ranges.get(self._prefix + key, span)
            return self._read_range_by_sdk(key, span) if found is None else found

    def _read_range_by_sdk(self, key: BlobKey, span: ByteSpan) -> RangeRead:
        response = self._client.get_object(
            self._location.bucket, self._prefix + key, span.offset, span.length
        )
        try:
            content = response.read()
        except BaseException:
            response.close()  # half an answer is in it: this connection is not used again
            raise
        finally:
            response.release_conn()
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
        if not size.isdigit():
            message = f"the object store did not say which range of blob {key} it gave"
            raise BlobsUnavailable(message)
        return RangeRead(memoryview(content), int(size))

    def _check_as_staged(self, key: BlobKey, staged: StagedFile) -> None:
        """Refuse a file that was altered after it was hashed.

        The store checks what it is sent, not what we meant to send. Reading the file once more is
        cheap beside sending it, and brings it into the cache that the upload reads from.
        """
        found = hash_file(staged.path)
        if (found.size, found.sha256) != (staged.size, staged.sha256):
            message = f"what should become blob {key} was altered while it was staged"
            raise FixityFailure(message)

    @contextlib.contextmanager
    def _reporting(self, key: BlobKey | None = None) -> Iterator[None]:
        """Turn what the SDK and the network report into errors of the archive."""
        where = f"the object store at {self._location.endpoint}"
        try:
            yield
        except S3Error as error:
            if error.code in _MISSING and key is not None:
                raise BlobMissing(key) from error
            if error.code == "InvalidRange" and key is not None:
                raise too_short(key) from error
            way_out = (
                "; look at COVERSLIP_S3_ACCESS_KEY and COVERSLIP_S3_SECRET_KEY"
                if error.code in _DENIED
                else ""
            )
            message = f"{where} refused: {error.code}: {error.message}{way_out}"
            raise BlobsUnavailable(message) from error
        except (MinioException, ServerError) as error:
            message = f"{where} answered with what is no answer: {error}"
            raise BlobsUnavailable(message) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            message = f"{where} does not answer: is it running? COVERSLIP_S3_ENDPOINT says where"
            raise BlobsUnavailable(message) from error


def part_bytes(size: int) -> int:
    """Give the size of one part for an object of `size` bytes, in whole MiB.

    Larger than `PART_BYTES` only where an object would else have too many parts (156 GiB).
    """
    mebibyte = 1024 * 1024
    least = -(-size // MAXIMUM_PARTS)
    return max(PART_BYTES, -(-least // mebibyte) * mebibyte)
