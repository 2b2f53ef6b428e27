"""The errors of requests, models and deployments. Bad input is a `ValueError`, raised before anything is sent.

    LLMError
    ├── Throttled                       requests
    ├── ModelNotReady
    ├── EndpointNotFound
    ├── AccessDenied
    │   └── NotPermitted
    ├── EulaNotAccepted
    ├── RequestRejected
    ├── ModelFailed
    ├── ServiceFailed
    ├── TimedOut
    ├── ConnectionFailed
    ├── MalformedResponse
    ├── StreamInterrupted
    ├── StructuredOutputFailed
    ├── ModelNotLoaded                  models on this machine
    ├── PullFailed
    ├── MissingExtra
    ├── RoleRefused                     deployments
    ├── QuotaExceeded
    ├── NameTaken
    ├── DeploymentFailed
    ├── NotOurs
    └── LeftBehind

An error's message has three parts: the endpoint, what happened, and what to do now (`advice`). `retryable` is whether the
same request may succeed later. Errors pickle. The original exception is the `__cause__`.
"""

from copy import copy
from typing import ClassVar, Self


class LLMError(Exception):
    """A language model did not answer, or a deployment failed.

    Args:
        endpoint: the name of the endpoint, or of the model.
        message: what happened, as a sentence.
        facts: further arguments of a subclass; an exception pickles with all its arguments.
    """

    advice: str = "See the cause below this error."  # an instance may have a more exact one
    retryable: ClassVar[bool] = False

    def __init__(self, endpoint: str, message: str, *facts: object) -> None:
        super().__init__(endpoint, message, *facts)
        self.endpoint = endpoint
        self.message = message

    def reworded(self, message: str) -> Self:
        """The same error, its advice too, with another message."""
        other = copy(self)
        other.message, other.args = message, (self.endpoint, message, *self.args[2:])
        return other

    def __str__(self) -> str:
        return f"{self.endpoint}: {self.message} {self.advice}"


class Throttled(LLMError):
    """More requests arrived than the account or the container accepts."""

    advice = "Send fewer at a time, or raise `max_retries` or `timeout`."
    retryable = True


class ModelNotReady(LLMError):
    """The model is still being loaded."""

    advice = "Wait a minute and try again."
    retryable = True


class EndpointNotFound(LLMError):
    """No endpoint with that name is in service in this account and region."""

    advice = "Check the name, the region and the account."


class AccessDenied(LLMError):
    """Credentials are missing, have expired, or do not allow the request."""

    advice = "Check which credentials boto3 finds: `aws sts get-caller-identity`."


class EulaNotAccepted(LLMError):
    """The model's licence has to be accepted first."""

    advice = "Read the model's licence, then pass `accept_eula=True`."


class RequestRejected(LLMError):
    """The model's container refuses the request."""

    advice = "Change the prompt or the parameters."


class ModelFailed(LLMError):
    """The model's container failed during the generation."""

    advice = "Read the endpoint's log; a shorter prompt or answer needs less memory."
    retryable = True


class ServiceFailed(LLMError):
    """AWS, or a gateway before it, failed."""

    advice = "Try again later."
    retryable = True


class TimedOut(LLMError):
    """No answer came in time. The model may still be generating, so the request is not repeated automatically."""

    advice = "Request fewer tokens, stream the answer, or raise `timeout`."


class ConnectionFailed(LLMError):
    """The connection was refused, reset or lost before the first byte of an answer."""

    advice = "Check the network and the endpoint's address."
    retryable = True


class MalformedResponse(LLMError):
    """The reply is not in the format of this wire."""

    advice = "Check that the endpoint's container uses this wire (`?wire=…`)."


class StreamInterrupted(LLMError):
    """The stream ended before the answer did. `partial_text` is the text that was yielded; it is not an answer."""

    advice = "Try again, or show `partial_text` marked as incomplete."

    def __init__(self, endpoint: str, message: str, partial_text: str = "") -> None:
        super().__init__(endpoint, message, partial_text)
        self.partial_text = partial_text


class StructuredOutputFailed(LLMError):
    """Neither the answer nor its correction matches the schema. `raw_text` is the correction."""

    advice = "Read `raw_text`; a simpler schema, examples in the prompt, more `max_tokens` or a larger model may help."

    def __init__(self, endpoint: str, message: str, raw_text: str = "") -> None:
        super().__init__(endpoint, message, raw_text)
        self.raw_text = raw_text


class NotPermitted(AccessDenied):
    """The credentials are valid, but do not allow this action."""

    advice = "Have the action allowed; docs/endpoints.md has a policy with every action that sagechain uses."


class RoleRefused(LLMError):
    """SageMaker may not assume the role that was given for the endpoint."""

    advice = "Give the ARN of a role that trusts sagemaker.amazonaws.com; docs/endpoints.md has both policies."


class QuotaExceeded(LLMError):
    """The account's quota does not allow another such instance."""

    advice = (
        "Request an increase in the AWS console under Service Quotas, Amazon SageMaker, by the name in quotes; "
        "or use another `instance_type`."
    )


class NameTaken(LLMError):
    """An endpoint, configuration or model with that name exists already."""

    advice = "Use another name, or delete the one that has it: `sagechain endpoints list`."


class DeploymentFailed(LLMError):
    """The endpoint did not come into service. Everything that had been created for it is deleted again."""

    advice = "Look into the endpoint's log (/aws/sagemaker/Endpoints/NAME in CloudWatch), or use a larger instance."


class NotOurs(LLMError):
    """The endpoint was not deployed by sagechain."""

    advice = "To delete it all the same, use `force=True`."


class LeftBehind(LLMError):
    """A deletion is incomplete. `left` names what still exists: `endpoint NAME`, `model NAME` …"""

    advice = "`sagechain endpoints reap` deletes it, now or later; until then an endpoint is billed."

    def __init__(self, endpoint: str, message: str, left: tuple[str, ...] = ()) -> None:
        super().__init__(endpoint, message, left)
        self.left = left


class ModelNotLoaded(LLMError):
    """A model on this machine cannot be loaded."""

    advice = "Download the file again, or use another."


class PullFailed(LLMError):
    """A model's file could not be downloaded."""

    advice = "Check the network, then run `sagechain models pull`."


class MissingExtra(LLMError, ImportError):
    """A part of sagechain that is not installed is needed."""

    def __init__(self, endpoint: str, extra: str) -> None:
        # Here, because what reads packages' metadata takes four times as long to import as this module.
        from .installation import install_command

        super().__init__(endpoint, f"this needs the extra `{extra}`, which is not installed.")
        self.args = (endpoint, extra)
        self.advice = f"Run: {install_command(extra)}"


RETRYABLE = (Throttled, ModelNotReady, ModelFailed, ServiceFailed, ConnectionFailed)
"""Those that are `retryable`, for LangChain's `with_retry(retry_if_exception_type=RETRYABLE)`."""
