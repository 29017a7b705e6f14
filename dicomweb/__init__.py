"""The archive over HTTP, as PS3.18 describes it."""
