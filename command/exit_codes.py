"""The exit codes of all commands and agent scripts."""

FAILURE, USAGE, NOT_READY, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 130, 141
