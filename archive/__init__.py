"""Keeping, finding and proving DICOM instances."""
