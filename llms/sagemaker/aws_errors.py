"""Maps the errors of boto3, urllib3 and the wires to those of `errors.py`.

Status codes and error codes are from the API reference of SageMaker's runtime. A container's error arrives inside
`ModelError`, with the container's status in `OriginalStatusCode`; 0 there is the 60 s limit of an invocation.
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
_NOT_FOUND = ("not found", "Could not find", "InService", "not in service")
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
    """The error to raise `from` this one; None for one that is a mistake in a program."""
    if isinstance(error, errors.LLMError):
        return error
    if isinstance(error, WireError):
        mapped = error.public_class(endpoint, str(error))
        if error.hint:
            mapped.advice = f"{error.hint[0].upper()}{error.hint[1:]}."
        return mapped
    if isinstance(error, _BaseEventStreamError):
        return _stream_error(endpoint, error)
    if isinstance(error, botocore.exceptions.ClientError):
        return _client_error(endpoint, error)
    if isinstance(error, _NO_CREDENTIALS):
        return errors.AccessDenied(endpoint, f"no credentials: {_sentence(error)}")
    if isinstance(error, _READ_TIMEOUTS):
        return errors.TimedOut(endpoint, "no answer came in time.")
    if isinstance(error, _MALFORMED):
        return errors.MalformedResponse(endpoint, f"the reply cannot be read: {_sentence(error)}")
    if isinstance(error, _CONNECTION):
        return errors.ConnectionFailed(endpoint, f"the connection failed: {_sentence(error)}")
    return None


def _stream_error(endpoint: str, error: _BaseEventStreamError) -> errors.LLMError:
    """The error for an error frame in an event stream."""
    code, message = error.response["Error"].get("Code"), error.response["Error"].get("Message", "")
    reason = error.response.get("ErrorCode") or message
    if "ModelInvocationTimeExceeded" in str(reason):
        return errors.TimedOut(endpoint, f"the model took too long: {message}")
    if code == "ModelStreamError":
        return errors.ModelFailed(endpoint, f"the model's stream failed: {message}")
    return errors.ServiceFailed(endpoint, f"the stream failed ({code}): {message}")


def _client_error(endpoint: str, error: botocore.exceptions.ClientError) -> errors.LLMError:
    """The error for a reply of AWS whose status is an error."""
    details = error.response["Error"]
    code, first_line = str(details.get("Code", "")), str(details.get("Message", "")).splitlines()[:1]
    message = f"{first_line[0].rstrip('.') if first_line else code}."
    if code in _DENIED_CODES:
        # From its second line on AWS quotes what should have been signed, the security token in it.
        details["Message"] = message
        error.args = (str(error.args[0]).split("\n", 1)[0],)
    status = int(error.response["ResponseMetadata"].get("HTTPStatusCode", 0))
    if code == "ModelError":
        return _container_error(endpoint, error.response)
    if code == "ModelStreamError":
        return errors.ModelFailed(endpoint, f"the model's stream failed: {message}")
    if code in _THROTTLED_CODES or (status == 429 and code != "ModelNotReadyException"):
        return errors.Throttled(endpoint, message)
    if code == "ModelNotReadyException":
        return errors.ModelNotReady(endpoint, message)
    if code in _DENIED_CODES or status in (401, 403):
        return errors.AccessDenied(endpoint, message)
    if status >= 500:
        return errors.ServiceFailed(endpoint, f"AWS failed (status {status}): {message}")
    if any(words in message for words in _NOT_FOUND):
        return errors.EndpointNotFound(endpoint, message)
    return errors.RequestRejected(endpoint, f"the request was refused ({code}): {message}")


def _container_error(endpoint: str, response: Any) -> errors.LLMError:
    status = int(response.get("OriginalStatusCode", 500))
    original = str(response.get("OriginalMessage") or response["Error"].get("Message", ""))
    message = f"the container answered with status {status}: {_container_message(original)}"
    if "accept_eula" in original:
        return errors.EulaNotAccepted(endpoint, message)
    if status == 0:
        return errors.TimedOut(endpoint, "the model ran into the 60 s limit of an invocation.")
    if status == 429:
        return errors.Throttled(endpoint, message)
    return (errors.RequestRejected if 400 <= status < 500 else errors.ModelFailed)(endpoint, message)


def _container_message(original: str) -> str:
    """The sentence in a container's reply, which usually is JSON with an `error`."""
    try:
        content = json.loads(original)
    except ValueError:
        content = original
    if isinstance(content, dict):
        content = content.get("error") or content.get("message") or original
    return f"{str(content)[:500].rstrip('.')}."


def _sentence(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."
