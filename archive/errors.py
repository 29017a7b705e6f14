"""Every error that the archive raises, with the facts as attributes.

What a library throws is wrapped at the module that calls it. `dicomweb/problems.py` holds the only
mapping to HTTP statuses. Messages name UIDs, tags and paths, never patient data.
"""

from collections.abc import Sequence


class ArchiveError(Exception):
    """Base of all that the archive raises."""


class MalformedRequest(ArchiveError):
    """The request cannot be understood; the message says where."""


class MalformedQuery(MalformedRequest):
    """A query parameter is not well formed (PS3.18 §8.3.4)."""

    def __init__(self, parameter: str, why: str) -> None:
        super().__init__(f"query parameter {parameter!r}: {why}")
        self.parameter = parameter
        self.why = why


class MalformedIdentifier(MalformedRequest):
    """A text that should be a UID is none (PS3.5 §9.1)."""

    def __init__(self, text: str) -> None:
        super().__init__(f"not a UID (PS3.5 §9.1): {text[:80]!r}")
        self.text = text


class NotFound(ArchiveError):
    """Not here, or not visible to the one who asks; the two cannot be told apart."""


class Gone(NotFound):
    """It was here and has been deleted (PS3.18 Table 8.5-1, 410)."""


class FrameNotFound(NotFound):
    """The instance has no frame of that number."""

    def __init__(self, number: int, number_of_frames: int) -> None:
        super().__init__(f"frame {number} was asked for, the instance has {number_of_frames}")
        self.number = number
        self.number_of_frames = number_of_frames


class BulkDataNotFound(NotFound):
    """The instance has no bulk data at that attribute path."""


class NotAcceptable(ArchiveError):
    """Nothing that we could send is among what the client accepts (PS3.18 §8.7.5)."""

    def __init__(self, message: str, available: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.available = tuple(available)


class CannotTranscode(NotAcceptable):
    """The pixels cannot be brought into any form that the client accepts."""


class CannotRender(NotAcceptable):
    """The instance has no picture that could be drawn."""


class InvalidInstance(ArchiveError):
    """A file is no DICOM instance that can be kept; nothing was stored."""

    def __init__(self, message: str, reason_code: int = 0xC000) -> None:
        super().__init__(message)
        self.reason_code = reason_code


class InstanceConflict(ArchiveError):
    """The SOP Instance UID is taken by other content; what is stored stays untouched."""


class TooLarge(ArchiveError):
    """More bytes than the settings allow."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than the limit of {limit_bytes} bytes")
        self.what = what
        self.limit_bytes = limit_bytes


class UnsupportedMedia(ArchiveError):
    """The media type of what was sent is not one that this resource takes (PS3.18 §8.7)."""


class CatalogUnavailable(ArchiveError):
    """The database does not answer."""


class Abandoned(ArchiveError):
    """Nobody waits any more for what was asked for, so the rest of it was not done."""


class TookTooLong(ArchiveError):
    """What was asked for was given up, since it took longer than anything should."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"given up after {seconds:.0f} s: ask for less at a time, or later")
        self.seconds = seconds


class SchemaMismatch(ArchiveError):
    """The database is of another schema revision; the message has the command that mends it."""


class BlobsUnavailable(ArchiveError):
    """The blob store does not answer, or takes nothing more (a full disk, a lost connection)."""


class StagingFull(BlobsUnavailable):
    """The local scratch folder takes nothing more."""


class BlobMissing(ArchiveError):
    """The catalog names a blob that the store does not have. An alarm, never normal."""

    def __init__(self, key: str) -> None:
        super().__init__(f"blob {key} is missing from the store; run `coverslip verify`")
        self.key = key


class BlobExists(ArchiveError):
    """A blob was to be put under a key that is taken; keys are never used twice."""

    def __init__(self, key: str) -> None:
        super().__init__(f"blob {key} exists already and was not touched")
        self.key = key


class FixityFailure(ArchiveError):
    """A blob is not what it was when it was stored. An alarm, never normal."""


class DataFolderInUse(ArchiveError):
    """Another server already works on this data folder."""


class MalformedSettings(ArchiveError):
    """A setting has an unknown name or a value that cannot be; the message says where it stands."""


class UnsafeSettings(ArchiveError):
    """The settings do not go together; the message says what to set."""
