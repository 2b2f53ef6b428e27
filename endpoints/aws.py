"""The AWS account that endpoints live in: SageMaker, S3 and STS by boto3, their failures as sagechain's errors.

Credentials, region and addresses come from boto3's own chain, so the same calls reach AWS or the local runtime
(`AWS_ENDPOINT_URL`).
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import boto3
import botocore.exceptions
from boto3.exceptions import S3UploadFailedError
from botocore.config import Config
from sagechain.llms.errors import (
    AccessDenied,
    EndpointNotFound,
    LLMError,
    NameTaken,
    NotPermitted,
    QuotaExceeded,
    RoleRefused,
)
from sagechain.llms.sagemaker import as_llm_error, read_tags

# How often a throttled or failed request is sent again is boto3's own to say (AWS_RETRY_MODE, AWS_MAX_ATTEMPTS): five
# times in all, over some ten seconds, if nothing is set.
CONFIG = Config(connect_timeout=10, read_timeout=60)


class Account:
    """One account in one region.

    Args:
        region: where; boto3's own choice if not given.

    Attributes:
        is_usual_region: whether that is boto3's own choice anyhow.

    Raises:
        ValueError: no region is set anywhere.
    """

    def __init__(self, region: str | None = None) -> None:
        self._session = boto3.Session(region_name=region)
        if not self._session.region_name:
            raise ValueError("region: none is set; give one, or set AWS_DEFAULT_REGION")
        self.region: str = self._session.region_name
        self.is_usual_region = region is None or region == boto3.Session().region_name

    @cached_property
    def _sagemaker(self) -> Any:
        return self._session.client("sagemaker", config=CONFIG)

    @cached_property
    def s3(self) -> Any:
        """boto3's client for S3."""
        return self._session.client("s3", config=CONFIG)

    @cached_property
    def address(self) -> str:
        """Where SageMaker is: tells AWS from a runtime on this machine."""
        return str(self._sagemaker.meta.endpoint_url)

    def ask(self, name: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call one operation of SageMaker.

        Args:
            name: the endpoint that it is about, for errors.
            operation: as boto3 names it, such as `describe_endpoint`.

        Raises:
            LLMError: it failed; of the kind that says what to do.
            ValueError: the parameters do not fit the service's own description.
        """
        try:
            found: dict[str, Any] = getattr(self._sagemaker, operation)(**parameters)
        except Exception as error:
            raise self.told(name, error) from error
        return found

    def pages(self, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All rows of an operation that lists, page by page.

        Args:
            key: where a page holds its rows.
        """
        try:
            for page in self._sagemaker.get_paginator(operation).paginate(**parameters):
                yield from page[key]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise self.told(operation, error) from error

    def tags(self, name: str, arn: str) -> dict[str, str]:
        """The tags of an endpoint, configuration or model."""
        try:
            return read_tags(self._sagemaker, arn)
        except Exception as error:
            raise self.told(name, error) from error

    @cached_property
    def number(self) -> str:
        """The account's twelve digits."""
        return str(self._identity["Account"])

    @cached_property
    def caller(self) -> str:
        """Who asks, as AWS names them."""
        return str(self._identity["Arn"])

    @cached_property
    def _identity(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._session.client("sts", config=CONFIG).get_caller_identity()
        except Exception as error:
            raise self.told("account", error) from error
        return found

    def told(self, name: str, error: Exception) -> Exception:
        """What to raise from a failure of boto3; the error itself where it is none of a call's."""
        if isinstance(error, S3UploadFailedError) and isinstance(error.__context__, Exception):
            error = error.__context__
        if isinstance(error, botocore.exceptions.ParamValidationError):
            return ValueError(f"{name}: {error}")
        found = as_llm_error(name, error)
        if found is None:
            return error
        if not isinstance(error, botocore.exceptions.ClientError):
            return found
        return _of_control_plane(found, error.response["Error"].get("Code", ""))


def _of_control_plane(error: LLMError, code: str) -> LLMError:
    """What SageMaker's control plane means by an error, where it is more than `failures.py` knows of endpoints."""
    what = error.message.removeprefix(f"the request was refused ({code}): ")
    kind: type[LLMError] = type(error)
    if code == "ResourceLimitExceeded":
        kind = QuotaExceeded
    elif "assume role" in what:
        kind = RoleRefused
    elif isinstance(error, AccessDenied) and "not authorized to perform" in what:
        kind = NotPermitted
    elif "already exist" in what:
        kind = NameTaken
    elif code == "ResourceNotFound":
        kind = EndpointNotFound
    return kind(error.endpoint, what)
