"""Saying and showing what is supported: claims, the conformance statement, runnable checks."""
