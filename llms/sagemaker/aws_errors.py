"""Maps the errors of boto3, urllib3 and the wires to those of `errors.py`.

Status codes and error codes are from the API reference of SageMaker's runtime. A container's error arrives inside
`ModelError`, with the container's status in `OriginalStatusCode`; 0 there is the 60 s limit of an invocation.
"""

import json
import re
from typing import Any
from urllib.parse import urlsplit

import botocore.exceptions
import urllib3.exceptions
from botocore.eventstream import EventStreamError as _BaseEventStreamError
from botocore.eventstream import ParserError as EventStreamParserError
from botocore.parsers import ResponseParserError
from botocore.utils import get_environ_proxies

from .. import errors
from ..wires.wire_error import WireError, is_out_of_memory

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
_SSO = (botocore.exceptions.SSOError, botocore.exceptions.TokenRetrievalError)
_CREDENTIALS = (
    *_SSO,
    botocore.exceptions.LoginError,
    botocore.exceptions.CredentialRetrievalError,
    botocore.exceptions.InvalidConfigError,
    botocore.exceptions.MetadataRetrievalError,
    botocore.exceptions.MissingDependencyException,
    botocore.exceptions.NoAuthTokenError,
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.ProfileNotFound,
    botocore.exceptions.RefreshWithMFAUnsupportedError,
    botocore.exceptions.UnknownCredentialError,
    botocore.exceptions.UnknownTokenProviderError,
)
_READ_TIMEOUTS = (botocore.exceptions.ReadTimeoutError, urllib3.exceptions.ReadTimeoutError, TimeoutError)
_MALFORMED = (
    EventStreamParserError,
    ResponseParserError,
    botocore.exceptions.AwsChunkedWrapperError,
    botocore.exceptions.ChecksumError,
    botocore.exceptions.FlexibleChecksumError,
    botocore.exceptions.IncompleteReadError,  # the body is shorter than declared
    botocore.exceptions.PaginationError,
    botocore.exceptions.ResponseStreamingError,
)
_CONNECTION = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    urllib3.exceptions.HTTPError,
    OSError,
)
_SETTINGS = (botocore.exceptions.BotoCoreError, botocore.exceptions.UndefinedModelAttributeError)

SHOWN_CHARACTERS = 500  # of a message of AWS or of a container

SSO_ADVICE = "Sign in again: `aws sso login`, with `--profile NAME` if you use one."
LOGIN_ADVICE = "Sign in again: `aws login`, with `--profile NAME` if you use one."
SETTINGS_ADVICE = "Check boto3's settings: the AWS_… variables, ~/.aws/config, and the arguments of the model."
COMPONENT_ADVICE = "Name the inference component: `?component=NAME` in the URI, or `inference_component_name=`."
ASYNCHRONOUS_ADVICE = (
    "It is an asynchronous endpoint, whose requests and answers are objects in S3: use boto3's `invoke_endpoint_async`, or "
    "deploy the model on an endpoint that answers at once."
)
SERVERLESS_ADVICE = "A serverless endpoint has no stream: use `invoke`, or an endpoint with instances."
PROXY_ADVICE = "A proxy is set, and it is used for this machine too: set NO_PROXY=localhost,127.0.0.1."


def as_llm_error(endpoint: str, error: Exception, *, address: str = "", sent: bytes = b"") -> errors.LLMError | None:
    """The error to raise `from` this one; None for one that is a mistake in a program.

    Args:
        endpoint: the name that the error shows.
        address: the URL to which the request went.
        sent: the request's body; a container's error may repeat some of it.
    """
    if isinstance(error, errors.LLMError):
        return error
    if isinstance(error, WireError):
        return _advising(error.public_class(endpoint, str(error)), f"{error.hint[:1].upper()}{error.hint[1:]}.")
    if isinstance(error, _BaseEventStreamError):
        return _stream_error(endpoint, error)
    if isinstance(error, botocore.exceptions.ClientError):
        mapped = _client_error(endpoint, error, sent)
        return _advising(mapped, PROXY_ADVICE) if _is_a_proxys(error, address) else mapped
    if isinstance(error, _CREDENTIALS):
        denied = errors.AccessDenied(endpoint, f"no credentials: {_sentence(error)}")
        if isinstance(error, botocore.exceptions.LoginError):
            return _advising(denied, LOGIN_ADVICE)
        return _advising(denied, SSO_ADVICE) if isinstance(error, _SSO) else denied
    if isinstance(error, _READ_TIMEOUTS):
        return errors.TimedOut(endpoint, "no answer came in time.")
    if isinstance(error, _MALFORMED):
        return errors.MalformedResponse(endpoint, f"the reply cannot be read: {_sentence(error)}")
    if isinstance(error, _CONNECTION):
        failed = errors.ConnectionFailed(endpoint, f"the connection failed: {_sentence(error)}")
        return _advising(failed, PROXY_ADVICE) if _goes_through_a_proxy(address) else failed
    if isinstance(error, botocore.exceptions.CapacityNotAvailableError):
        return errors.Throttled(endpoint, _sentence(error))
    if isinstance(error, botocore.exceptions.WaiterError):
        return errors.ServiceFailed(endpoint, _sentence(error))
    if isinstance(error, _SETTINGS):
        rejected = errors.RequestRejected(endpoint, f"boto3 cannot send the request: {_sentence(error)}")
        return _advising(rejected, SETTINGS_ADVICE)
    return None


def refuses_streams(error: Exception) -> bool:
    """Whether an endpoint cannot stream, such as a serverless one: it refused the operation and ran nothing."""
    if (
        not isinstance(error, botocore.exceptions.ClientError)
        or error.response["Error"].get("Code") != "ValidationError"
    ):
        return False
    message = str(error.response["Error"].get("Message")).lower()
    return "stream" in message and ("serverless" in message or "support" in message)


def _advising(error: errors.LLMError, advice: str) -> errors.LLMError:
    """The error with a more exact advice than its class has."""
    if advice != ".":
        error.advice = advice
    return error


def _is_a_proxys(error: botocore.exceptions.ClientError, address: str) -> bool:
    """Whether a proxy answered in place of a server on this machine: its replies have a status and no code of AWS's."""
    return str(error.response["Error"].get("Code", "")).isdigit() and _goes_through_a_proxy(address)


def _goes_through_a_proxy(address: str) -> bool:
    """Whether requests to an address on this machine are sent to a proxy."""
    host = urlsplit(address).hostname or ""
    is_this_machine = host in ("localhost", "::1") or host.endswith(".localhost") or host.startswith("127.")
    return is_this_machine and bool(get_environ_proxies(address))


def _stream_error(endpoint: str, error: _BaseEventStreamError) -> errors.LLMError:
    """The error for an error frame in an event stream."""
    code, message = error.response["Error"].get("Code"), error.response["Error"].get("Message", "")
    reason = error.response.get("ErrorCode") or message
    if "ModelInvocationTimeExceeded" in str(reason):
        return errors.TimedOut(endpoint, f"the model took too long: {message}")
    if code == "ModelStreamError":
        return errors.ModelFailed(endpoint, f"the model's stream failed: {message}")
    return errors.ServiceFailed(endpoint, f"the stream failed ({code}): {message}")


def _client_error(endpoint: str, error: botocore.exceptions.ClientError, sent: bytes) -> errors.LLMError:
    """The error for a reply of AWS whose status is an error."""
    details = error.response["Error"]
    code, first_line = str(details.get("Code", "")), str(details.get("Message", "")).splitlines()[:1]
    message = f"{first_line[0][:SHOWN_CHARACTERS].rstrip('.') if first_line else code}."
    if code in _DENIED_CODES:
        # From its second line on AWS quotes what should have been signed, the security token in it.
        details["Message"] = message
        error.args = (str(error.args[0]).split("\n", 1)[0],)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "ModelError":
        return _container_error(endpoint, error.response, sent)
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
    if "no capacity to process" in message:  # an inference component that is scaled to zero
        return errors.ModelNotReady(endpoint, message)
    if any(words in message for words in _NOT_FOUND):
        return errors.EndpointNotFound(endpoint, message)
    rejected = errors.RequestRejected(endpoint, f"the request was refused ({code}): {message}")
    reason = message.replace(endpoint, "…")
    advice = next((_REFUSALS[words] for words in _REFUSALS if re.search(words, reason, re.IGNORECASE)), ".")
    return _advising(rejected, advice)


_REFUSALS = {
    "component.*(required|missing|must|specify|include)|(required|missing|specify|include).*component": COMPONENT_ADVICE,
    r"\basync|EndpointAsync": ASYNCHRONOUS_ADVICE,
    "serverless|(stream.*support|support.*stream)": SERVERLESS_ADVICE,
}
"""Words of AWS's refusals, and what to do."""


def _container_error(endpoint: str, response: Any, sent: bytes) -> errors.LLMError:
    status = int(response.get("OriginalStatusCode", 500))
    original = str(response.get("OriginalMessage") or response["Error"].get("Message", ""))
    text, kind = _container_message(original)
    message = f"the container answered with status {status}: {text}"
    if "accept_eula" in original and b"accept_eula" not in sent:
        return errors.EulaNotAccepted(endpoint, message)
    if status == 0:
        return errors.TimedOut(endpoint, "the model ran into the 60 s limit of an invocation.")
    # What TGI answers with 424 failed during the generation, whatever the prompt was.
    if is_out_of_memory(text, kind, b"" if status == 424 else sent):
        return errors.ModelFailed(endpoint, message)
    if status == 429:
        return errors.Throttled(endpoint, message)
    return (errors.RequestRejected if 400 <= status < 500 else errors.ModelFailed)(endpoint, message)


def _container_message(original: str) -> tuple[str, str]:
    """The sentence in a container's reply, which usually is JSON with an `error`, and the reply's name for its kind."""
    try:
        content = json.loads(original)
    except (ValueError, RecursionError):
        content = original
    kind = ""
    if isinstance(content, dict):
        kind = f"{content.get('error_type')} {content.get('type')}".lower()
        content = content.get("error") or content.get("message") or original
    return f"{str(content)[:SHOWN_CHARACTERS].rstrip('.')}.", kind


def _sentence(error: Exception) -> str:
    """What an error of a library says, in one line and without the password of an address."""
    text = re.sub(r"//[^/@\s]{1,500}@", "//…@", " ".join(str(error).split()))
    return f"{text.rstrip('.')}."
