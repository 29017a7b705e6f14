"""The `coverslip` command: puts everything together."""
