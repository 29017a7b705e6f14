"""A location becomes a store."""

from archive.blobs.filesystem import FilesystemBlobs
from archive.blobs.location import BlobLocation, FolderLocation
from archive.blobs.store import BlobStore


def open_blobs(location: BlobLocation) -> BlobStore:
    """Open the store at `location`; raises `BlobsUnavailable` when it cannot be used."""
    if isinstance(location, FolderLocation):
        return FilesystemBlobs(location.folder, staging=location.staging)
    # The SDK takes a quarter of a second to import, which an archive in a folder need not wait for.
    from archive.blobs.object_store import ObjectStoreBlobs

    origin = ObjectStoreBlobs(location)
    if location.cache is None:
        return origin
    from archive.blobs.block_cache import BlockCache
    from archive.blobs.cached import CachedBlobs

    try:
        cache = BlockCache(location.cache.folder, location.cache.limit_bytes)
    except BaseException:
        origin.close()
        raise
    return CachedBlobs(origin, cache)
