"""A slide file becomes DICOM files. A leaf: knows nothing of the archive."""
