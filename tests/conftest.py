"""Fixtures of all tests."""

pytest_plugins = ["stac_testbed.pytest_plugin"]
