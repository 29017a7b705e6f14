"""The bytes of instances: a folder or an object store, and the scratch before it."""

from archive.blobs.block_cache import CacheEvent, SupportsObservation
from archive.blobs.filesystem import FilesystemBlobs
from archive.blobs.front_reader import open_front
from archive.blobs.keys import is_key, is_record_key, new_key, new_record_key, sha256_of_key
from archive.blobs.location import BlobLocation, CacheLocation, FolderLocation, ObjectLocation
from archive.blobs.opening import open_blobs
from archive.blobs.staging import Staging, StagingWriter, hash_file
from archive.blobs.store import BlobStat, BlobStore, SupportsImmediateRead, SupportsLocalPath

__all__ = [
    "BlobLocation",
    "BlobStat",
    "BlobStore",
    "CacheEvent",
    "CacheLocation",
    "FilesystemBlobs",
    "FolderLocation",
    "ObjectLocation",
    "Staging",
    "StagingWriter",
    "SupportsImmediateRead",
    "SupportsLocalPath",
    "SupportsObservation",
    "hash_file",
    "is_key",
    "is_record_key",
    "new_key",
    "new_record_key",
    "open_blobs",
    "open_front",
    "sha256_of_key",
]
