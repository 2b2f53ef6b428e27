"""What libraries log and warn for programmers does not reach the users of a command: errors have lines of their own.

`PYTHONWARNINGS` or `python -W` show Python's warnings again.
"""

import logging
import sys
import warnings

LIBRARIES = ("boto3", "botocore", "filelock", "httpx", "huggingface_hub", "langchain", "s3transfer", "urllib3")
"""Loggers whose warnings are about retries, deprecated names and credentials, never about something to do."""


def hide_library_messages() -> None:
    """Hide Python's warnings, and what these libraries log below ERROR."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
