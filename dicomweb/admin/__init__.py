"""What DICOMweb has no words for: ours, under /api, and marked non-standard."""
