"""boto3's session and its client for SageMaker's runtime, created from the fields of a `SageMakerLLM`."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config
from pydantic import SecretStr

CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
CLIENT_SETTINGS = (
    *("timeout", "max_concurrency", "region_name", "credentials_profile_name", "endpoint_url", "config"),
    *CREDENTIALS,
)
"""The fields from which a client is made."""
CONNECT_TIMEOUT = 10.0  # seconds
NO_REGION = "region_name: not set; give region_name, ?region=… or AWS_DEFAULT_REGION"


def make_session(fields: Mapping[str, Any]) -> boto3.Session:
    """A session with the credentials, profile and region in the fields; boto3 finds what they do not have.

    Raises:
        botocore.exceptions.BotoCoreError: the profile does not exist, or boto3's configuration cannot be read.
    """
    secrets = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name in CREDENTIALS
        if (value := fields.get(name)) is not None
    }
    client = fields.get("client")
    region = fields.get("region_name") or getattr(getattr(client, "meta", None), "region_name", None)
    return boto3.Session(profile_name=fields.get("credentials_profile_name"), region_name=region, **secrets)


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
    try:
        return make_session(fields).client(
            "sagemaker-runtime",
            endpoint_url=fields.get("endpoint_url"),
            config=config.merge(extra) if extra else config,
        )
    except botocore.exceptions.NoRegionError as error:
        raise ValueError(NO_REGION) from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise ValueError(f"no client for SageMaker's runtime: {error}") from error


@cache
def _user_agent() -> str:
    """Built once: botocore 1.44 builds its own twice a request, an eighth of the time that a request takes."""
    return " ".join(f"{name}/{version(name)}" for name in ("sagechain", "boto3", "botocore"))
