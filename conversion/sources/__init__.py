"""Readers of slide files, one module a family of formats, behind `registry.open_slide`."""
