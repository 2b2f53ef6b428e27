"""Which error of `errors.py` a failure of boto3, urllib3 or a wire is.

Status codes and error codes are SageMaker runtime's own, as its API reference lists them. A container's failure comes
inside `ModelError` with its own status in `OriginalStatusCode`; 0 there is the 60 s limit of an invocation.
"""

import json
from typing import Any

import botocore.exceptions
import urllib3.exceptions
from botocore.eventstream import EventStreamError as _BaseEventStreamError
from botocore.eventstream import ParserError as EventStreamParserError
from botocore.parsers import ResponseParserError

from .. import errors
from ..wires.wire_error import WireError

_DENIED_CODES = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
_THROTTLED_CODES = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}
_NO_CREDENTIALS = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.TokenRetrievalError,
    botocore.exceptions.SSOError,
)
_READ_TIMEOUTS = (botocore.exceptions.ReadTimeoutError, urllib3.exceptions.ReadTimeoutError, TimeoutError)
_MALFORMED = (
    EventStreamParserError,
    ResponseParserError,
    botocore.exceptions.IncompleteReadError,  # the body is shorter than declared
    botocore.exceptions.ResponseStreamingError,
)
_CONNECTION = (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError)


def as_llm_error(endpoint: str, error: Exception) -> errors.LLMError | None:
    """The error to raise `from` this one; None for one that is no failure of a call, but a mistake in a program."""
    if isinstance(error, errors.LLMError):
        return error
    if isinstance(error, WireError):
        return _of_wire(endpoint, error)
    if isinstance(error, _BaseEventStreamError):
        return _in_stream(endpoint, error)
    if isinstance(error, botocore.exceptions.ClientError):
        return _answered(endpoint, error)
    if isinstance(error, _NO_CREDENTIALS):
        return errors.AccessDenied(endpoint, f"no credentials: {_sentence(error)}")
    if isinstance(error, _READ_TIMEOUTS):
        return errors.TimedOut(endpoint, "no answer came in time.")
    if isinstance(error, _MALFORMED):
        return errors.MalformedResponse(endpoint, f"the reply cannot be read: {_sentence(error)}")
    if isinstance(error, _CONNECTION):
        return errors.ConnectionFailed(endpoint, f"the connection failed: {_sentence(error)}")
    return None


def _of_wire(endpoint: str, error: WireError) -> errors.LLMError:
    kinds: dict[str, type[errors.LLMError]] = {
        "failed": errors.ModelFailed,
        "throttled": errors.Throttled,
        "rejected": errors.RequestRejected,
    }
    return kinds.get(error.kind, errors.MalformedResponse)(endpoint, str(error))


def _in_stream(endpoint: str, error: _BaseEventStreamError) -> errors.LLMError:
    code, message = error.response["Error"].get("Code"), error.response["Error"].get("Message", "")
    inner = error.response.get("ErrorCode") or message
    if "ModelInvocationTimeExceeded" in str(inner):
        return errors.TimedOut(endpoint, f"the model took too long: {message}")
    if code == "ModelStreamError":
        return errors.ModelFailed(endpoint, f"the model's stream failed: {message}")
    return errors.ServiceFailed(endpoint, f"the stream failed ({code}): {message}")


def _answered(endpoint: str, error: botocore.exceptions.ClientError) -> errors.LLMError:
    said = error.response["Error"]
    code, message = str(said.get("Code", "")), str(said.get("Message", "")).splitlines()[:1]
    what = f"{message[0].rstrip('.') if message else code}."
    if code in _DENIED_CODES:
        # From its second line on AWS quotes what should have been signed, the security token in it.
        said["Message"] = what
        error.args = (str(error.args[0]).split("\n", 1)[0],)
    status = int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
    if code == "ModelError":
        return _of_container(endpoint, error.response)
    if code == "ModelStreamError":
        return errors.ModelFailed(endpoint, f"the model's stream failed: {what}")
    if code in _THROTTLED_CODES or (status == 429 and code != "ModelNotReadyException"):
        return errors.Throttled(endpoint, what)
    if code == "ModelNotReadyException":
        return errors.ModelNotReady(endpoint, what)
    if code in _DENIED_CODES or status in (401, 403):
        return errors.AccessDenied(endpoint, what)
    if status >= 500:
        return errors.ServiceFailed(endpoint, f"AWS failed (status {status}): {what}")
    if "not found" in what or "Could not find" in what or "InService" in what or "not in service" in what:
        return errors.EndpointNotFound(endpoint, what)
    return errors.RequestRejected(endpoint, f"the request was refused ({code}): {what}")


def _of_container(endpoint: str, response: Any) -> errors.LLMError:
    status = int(response.get("OriginalStatusCode", 500))
    message = str(response.get("OriginalMessage") or response["Error"].get("Message", ""))
    what = f"the container says (status {status}): {_said(message)}"
    if "accept_eula" in message:
        return errors.EulaNotAccepted(endpoint, what)
    if status == 0:
        return errors.TimedOut(endpoint, "the model ran into the 60 s limit of an invocation.")
    if status == 429:
        return errors.Throttled(endpoint, what)
    return (errors.RequestRejected if 400 <= status < 500 else errors.ModelFailed)(endpoint, what)


def _said(message: str) -> str:
    """The sentence in a container's message, which mostly is JSON with an `error`."""
    try:
        said = json.loads(message)
    except ValueError:
        said = message
    if isinstance(said, dict):
        said = said.get("error") or said.get("message") or message
    return f"{str(said)[:500].rstrip('.')}."


def _sentence(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."
