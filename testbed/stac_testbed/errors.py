"""Errors of the test bed."""


class TestbedError(Exception):
    """A part of the lake did not start, stop or do what it should; the message says which."""

    __test__ = False  # pytest takes it for a test case by its name
