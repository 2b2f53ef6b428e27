"""The AWS account with the endpoints: SageMaker, S3 and STS through boto3, their failures as sagechain's errors.

Credentials, region and addresses come from boto3's own chain, so the same code reaches AWS or the local one
(`AWS_ENDPOINT_URL`).
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

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
from sagechain.llms.sagemaker import as_llm_error, create_client, find_session, read_tags

from .progress import poll

# Retries of throttled or failed requests are boto3's (AWS_RETRY_MODE, AWS_MAX_ATTEMPTS): by default five attempts in some
# ten seconds.
CONFIG = Config(connect_timeout=10, read_timeout=60)
PAGE_SECONDS = 4.0  # for which a page of a list is requested again, after boto3's own retries


class Account:
    """One account in one region.

    Args:
        region: default: boto3's own, of its default session where the program has one; else `AWS_REGION`.

    Attributes:
        is_default_region: whether it is boto3's own region.

    Raises:
        ValueError: no region is set anywhere.
    """

    def __init__(self, region: str | None = None) -> None:
        self._session, default = find_session()
        if not (region or default):
            raise ValueError("region: not set; pass region, or set AWS_DEFAULT_REGION or AWS_REGION")
        self.region: str = region or default or ""
        self.is_default_region = self.region == default

    def _client(self, service: str) -> Any:
        return create_client(service, self._session, self.region, config=CONFIG)

    @cached_property
    def _sagemaker(self) -> Any:
        return self._client("sagemaker")

    @cached_property
    def s3(self) -> Any:
        """boto3's client for S3."""
        return self._client("s3")

    @cached_property
    def address(self) -> str:
        """SageMaker's URL, which distinguishes AWS from a local one."""
        return str(self._sagemaker.meta.endpoint_url)

    def send(self, name: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Send one request to SageMaker.

        Args:
            name: the endpoint that errors name.
            operation: as boto3 names it, such as `describe_endpoint`.

        Raises:
            LLMError: it failed; `advice` of the error is what to do.
            ValueError: the parameters do not match the service's own description.
        """
        try:
            response: dict[str, Any] = getattr(self._sagemaker, operation)(**parameters)
        except Exception as error:
            raise self.as_error(name, error) from error
        return response

    def rows(self, operation: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """All rows of a list operation, page by page; a page that is throttled or lost is requested again.

        Args:
            key: the field of a page that contains its rows.
        """
        while True:
            page = self._page(operation, parameters)
            yield from page[key]
            if not page.get("NextToken"):
                return
            parameters["NextToken"] = page["NextToken"]

    def _page(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        for seconds in poll(PAGE_SECONDS):
            try:
                return self.send(operation, operation, **parameters)
            except LLMError as error:
                if not error.retryable or seconds > PAGE_SECONDS:
                    raise
        raise AssertionError("poll ends only with its reader")

    def tags(self, name: str, arn: str) -> dict[str, str]:
        """The tags of an endpoint, configuration or model."""
        try:
            return read_tags(self._sagemaker, arn)
        except Exception as error:
            raise self.as_error(name, error) from error

    @cached_property
    def number(self) -> str:
        """The account's twelve digits."""
        return str(self._identity["Account"])

    @cached_property
    def caller(self) -> str:
        """The ARN of the identity that sends the requests."""
        return str(self._identity["Arn"])

    @cached_property
    def _identity(self) -> dict[str, Any]:
        try:
            identity: dict[str, Any] = self._client("sts").get_caller_identity()
        except Exception as error:
            raise self.as_error("account", error) from error
        return identity

    def as_error(self, name: str, error: Exception) -> Exception:
        """The exception to raise for a failure of boto3; the same one where no request failed."""
        if isinstance(error, S3UploadFailedError) and isinstance(error.__context__, Exception):
            error = error.__context__
        if isinstance(error, botocore.exceptions.ParamValidationError):
            return ValueError(f"{name}: {error}")
        client = vars(self).get("_sagemaker")
        llm_error = as_llm_error(name, error, address=client.meta.endpoint_url if client else "")
        if llm_error is None:
            return error
        if not isinstance(error, botocore.exceptions.ClientError):
            return llm_error
        return _control_plane_error(llm_error, error.response["Error"].get("Code", ""))


def _control_plane_error(error: LLMError, code: str) -> LLMError:
    """The error of SageMaker's control plane, where it is more specific than that of its runtime."""
    message = error.message.removeprefix(f"the request was refused ({code}): ")
    kind: type[LLMError] = type(error)
    if code == "ResourceLimitExceeded":
        kind = QuotaExceeded
    elif "assume role" in message:
        kind = RoleRefused
    elif isinstance(error, AccessDenied) and "not authorized to perform" in message:
        kind = NotPermitted
    elif "already exist" in message:
        kind = NameTaken
    elif code == "ResourceNotFound":
        kind = EndpointNotFound
    return error.reworded(message) if kind is type(error) else kind(error.endpoint, message)
