"""The fixtures of `account.py`, for all tests here."""

from tests.endpoints.account import aws

__all__ = ["aws"]
