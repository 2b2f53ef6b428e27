"""boto3's session and its client for SageMaker's runtime, created from the fields of a `SageMakerLLM`."""

import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config
from pydantic import SecretStr

from ..forks import RenewedLock, renew_in_child
from .transport import renew_connections

CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
CLIENT_SETTINGS = (
    *("timeout", "max_concurrency", "region_name", "credentials_profile_name", "endpoint_url", "config"),
    *CREDENTIALS,
)
"""The fields from which a client is made."""
CONNECT_TIMEOUT = 10.0  # seconds
NO_REGION = "region_name: not set; give region_name or ?region=…, or set AWS_DEFAULT_REGION or AWS_REGION"

_lock = RenewedLock()  # boto3's sessions are not thread-safe while they make a client


def find_session(
    region: str | None = None, *, profile: str | None = None, keys: Mapping[str, str] | None = None
) -> tuple[boto3.Session, str | None]:
    """A session and its region: boto3's default session where the program has one and gives neither profile nor keys.

    boto3 itself does not read `AWS_REGION`, which containers on AWS and CI have; it is used where boto3 finds no region.

    Raises:
        ValueError: the profile does not exist, or boto3's configuration cannot be read.
    """
    default = boto3.DEFAULT_SESSION
    try:
        with _lock:
            own = default is None or profile or keys
            session = boto3.Session(profile_name=profile, **(keys or {})) if own else default
            found = region or session.region_name or (default.region_name if default is not None else None)
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise _refused_settings(error) from error
    return session, found or os.environ.get("AWS_REGION") or None


def create_client(service: str, session: boto3.Session, region: str | None, **settings: Any) -> Any:
    """A client of boto3.

    Raises:
        ValueError: no region is set, or boto3 refuses the settings.
    """
    if not region:
        raise ValueError(NO_REGION)
    try:
        with _lock:
            client = session.client(service, region_name=region, **settings)
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise _refused_settings(error) from error
    renew_in_child(client, renew_connections)
    return client


def session_of(fields: Mapping[str, Any]) -> tuple[boto3.Session, str | None]:
    """The session and region for the fields of a `SageMakerLLM`; of a given client it is the client's region."""
    keys = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name in CREDENTIALS
        if (value := fields.get(name)) is not None
    }
    region = fields.get("region_name") or getattr(getattr(fields.get("client"), "meta", None), "region_name", None)
    return find_session(region, profile=fields.get("credentials_profile_name"), keys=keys)


def make_client(fields: Mapping[str, Any]) -> Any:
    """A client that does not retry, with a connection for each of `max_concurrency` generations.

    Raises:
        ValueError: no region is set, or boto3 refuses the settings.
    """
    config = Config(
        read_timeout=fields["timeout"],
        connect_timeout=min(CONNECT_TIMEOUT, fields["timeout"]),
        retries={"total_max_attempts": 1},
        max_pool_connections=fields["max_concurrency"],
        user_agent=_user_agent(),
    )
    extra = fields.get("config")
    return create_client(
        "sagemaker-runtime",
        *session_of(fields),
        endpoint_url=fields.get("endpoint_url"),
        config=config.merge(extra) if extra else config,
    )


def _refused_settings(error: Exception) -> ValueError:
    return ValueError(f"boto3 cannot use its settings: {' '.join(str(error).split())}")


@cache
def _user_agent() -> str:
    """Built once: botocore 1.44 builds its own twice a request, an eighth of the time that a request takes."""
    return " ".join(f"{name}/{version(name)}" for name in ("sagechain", "boto3", "botocore"))
