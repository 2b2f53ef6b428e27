"""Every error of boto3, urllib3, a container and the network becomes the right one of `errors.py`."""

import pickle
from string import Formatter
from typing import Any

import botocore.exceptions
import botocore.session
import pytest
import urllib3.exceptions
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError
from sagechain.llms import errors
from sagechain.llms.sagemaker.aws_errors import as_llm_error


def client_error(code: str, status: int, message: str = "the reason", **more: Any) -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}, **more}
    return ClientError(response, "InvokeEndpoint")


def container_error(status: int, message: str) -> ClientError:
    return client_error("ModelError", 424, "…", OriginalStatusCode=status, OriginalMessage=message)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (client_error("ThrottlingException", 400), errors.Throttled, "the reason"),
        (client_error("429", 429, ""), errors.Throttled, "429"),
        (
            container_error(429, '{"error":"Model is overloaded","error_type":"overloaded"}'),
            errors.Throttled,
            "overloaded",
        ),
        (client_error("ModelNotReadyException", 429), errors.ModelNotReady, "the reason"),
        (
            client_error("ValidationError", 400, "Endpoint x of account 1 not found."),
            errors.EndpointNotFound,
            "not found",
        ),
        (client_error("ExpiredTokenException", 403), errors.AccessDenied, "the reason"),
        (client_error("InvalidSignatureException", 403, "bad\nThe Canonical String …"), errors.AccessDenied, "bad."),
        (container_error(424, '{"error": "pass accept_eula=true"}'), errors.EulaNotAccepted, "accept_eula"),
        (
            container_error(422, '{"error": "too long"}'),
            errors.RequestRejected,
            "answered with status 422: too long.",
        ),
        (client_error("ValidationError", 413, "Body too large"), errors.RequestRejected, "too large"),
        (container_error(500, "CUDA out of memory"), errors.ModelFailed, "out of memory"),
        (client_error("InternalFailure", 500), errors.ServiceFailed, "status 500"),
        (client_error("ServiceUnavailable", 503), errors.ServiceFailed, "status 503"),
        (client_error("InternalDependencyException", 530), errors.ServiceFailed, "status 530"),
        (client_error("502", 502, "Bad Gateway"), errors.ServiceFailed, "status 502"),
        (container_error(0, ""), errors.TimedOut, "60 s limit"),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="x"), errors.TimedOut, "in time"),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="x"), errors.ConnectionFailed, "connect"),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url="x"), errors.ConnectionFailed, "timeout"),
        (urllib3.exceptions.ProtocolError("broken"), errors.ConnectionFailed, "broken"),
        (botocore.exceptions.NoCredentialsError(), errors.AccessDenied, "no credentials"),
        (
            botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
            errors.MalformedResponse,
            "cannot be read",
        ),
        (ChecksumMismatch(1, 2), errors.MalformedResponse, "cannot be read"),
    ],
)
def test_each_aws_error_is_mapped_to_its_error_class(error: Exception, kind: type[errors.LLMError], words: str) -> None:
    ours = as_llm_error("my-endpoint", error)
    assert type(ours) is kind
    assert ours is not None
    assert words in str(ours)
    assert "Canonical" not in str(ours)
    assert ours.endpoint == "my-endpoint"


EXCEPTIONS = [
    kind
    for kind in vars(botocore.exceptions).values()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == botocore.exceptions.__name__
    if not issubclass(kind, Warning)
]


TRANSIENT = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.CapacityNotAvailableError,
    botocore.exceptions.WaiterError,
    botocore.exceptions.EventStreamError,
)


def made(kind: type[Exception]) -> Exception:
    """An exception of botocore; its constructor formats a message from facts that differ from class to class."""
    if issubclass(kind, ClientError):
        return kind({"Error": {"Code": "Odd", "Message": "x"}}, "InvokeEndpoint")
    text = getattr(kind, "fmt", None)
    if text is None:
        return kind(service_name="x") if kind is botocore.exceptions.MissingServiceIdError else kind("x")
    facts = {name: "x" for _, name, _, _ in Formatter().parse(text) if name}
    if kind is botocore.exceptions.WaiterError:
        facts["last_response"] = "x"
    return kind(**facts)


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_every_exception_of_botocore_becomes_one_of_ours(kind: type[Exception]) -> None:
    ours = as_llm_error("e", made(kind))
    assert isinstance(ours, errors.LLMError)
    assert "\n" not in str(ours)
    # What is wrong with keys or settings stays wrong when the request is repeated.
    assert not ours.retryable or issubclass(kind, TRANSIENT)


@pytest.mark.parametrize(
    ("advice", "kind"),
    [
        *(("aws sso login", kind) for kind in ("SSOError", "SSOTokenLoadError", "UnauthorizedSSOTokenError")),
        ("aws sso login", "TokenRetrievalError"),
        *(("aws login", kind) for kind in ("LoginError", "LoginRefreshRequired", "LoginTokenLoadError")),
        *(("aws login", kind) for kind in ("LoginInsufficientPermissions", "LoginAuthorizationCodeError")),
    ],
)
def test_an_ended_session_is_denied_with_the_command_that_starts_a_new_one(advice: str, kind: str) -> None:
    ours = as_llm_error("e", made(getattr(botocore.exceptions, kind)))
    assert type(ours) is errors.AccessDenied
    assert f"`{advice}`" in ours.advice
    assert pickle.loads(pickle.dumps(ours)).advice == ours.advice


def test_the_password_of_an_address_is_not_shown() -> None:
    error = botocore.exceptions.EndpointConnectionError(endpoint_url="http://me:secret@10.0.0.1/x")
    assert "secret" not in str(as_llm_error("e", error))


def test_a_mistake_in_a_program_is_not_mapped() -> None:
    assert as_llm_error("e", KeyError("x")) is None


@pytest.mark.parametrize(
    ("code", "inner", "kind"),
    [
        ("ModelStreamError", "ModelInvocationTimeExceeded", errors.TimedOut),
        ("ModelStreamError", "StreamBroken", errors.ModelFailed),
        ("InternalStreamFailure", "", errors.ServiceFailed),
    ],
)
def test_each_error_frame_of_a_stream_becomes_the_right_error(
    code: str, inner: str, kind: type[errors.LLMError]
) -> None:
    response = {"Error": {"Code": code, "Message": "broke"}, "ErrorCode": inner}
    assert type(as_llm_error("e", EventStreamError(response, "InvokeEndpointWithResponseStream"))) is kind


DECLARED = {
    "InternalDependencyException": errors.ServiceFailed,
    "InternalFailure": errors.ServiceFailed,
    "InternalStreamFailure": errors.ServiceFailed,
    "ModelError": errors.ModelFailed,
    "ModelNotReadyException": errors.ModelNotReady,
    "ModelStreamError": errors.ModelFailed,
    "ServiceUnavailable": errors.ServiceFailed,
    "ValidationError": errors.RequestRejected,
}


@pytest.mark.parametrize("operation", ["InvokeEndpoint", "InvokeEndpointWithResponseStream"])
def test_every_exception_that_botocore_declares_for_the_service_is_mapped(operation: str) -> None:
    session = botocore.session.get_session()
    model = session.get_service_model("sagemaker-runtime").operation_model(operation)
    stream = model.get_event_stream_output()
    events = [shape for shape in stream.members.values() if shape.metadata.get("exception")] if stream else []
    assert len(model.error_shapes) >= 5
    for shape in [*model.error_shapes, *events]:
        status = shape.metadata.get("error", {}).get("httpStatusCode", 500)
        assert shape.name in DECLARED, f"botocore declares {shape.name}: add it to DECLARED and to aws_errors.py"
        in_stream = EventStreamError({"Error": {"Code": shape.name, "Message": "broke"}}, operation)
        error = in_stream if shape in events else client_error(shape.name, status)
        assert type(as_llm_error("e", error)) is DECLARED[shape.name]
