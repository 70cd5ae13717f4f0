"""Failure: an error that a person is told in one line; the command then ends with exit code 1."""


class Failure(Exception):  # noqa: N818  # it is what the user is told, not a defect
    """The message says what happened and what to do."""
