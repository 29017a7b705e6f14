"""What bytes are read from: a mapped file, or the first part of one."""

import mmap

Buffer = bytes | mmap.mmap
"""Both are sliced to bytes, and read by `struct`, alike."""
