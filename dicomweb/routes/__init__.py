"""The Studies Service of PS3.18 §10, a module a transaction."""
