"""Who may use the runtime: programs that name it rightly, no web page of another origin, and the key that was agreed on.

A browser sends a page's requests to any address, so a page could drive the runtime of whoever has it open. Such requests
are recognised by their `Host` (a name that a page's owner can point to 127.0.0.1), `Origin`, `Sec-Fetch-Site`, or, on
SageMaker's paths, by the content types that a page may send without asking first.

Signatures are not checked: the id of the access key is what a client has to know.
"""

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.requests import Request

from .account import DEFAULT_REGION
from .errors import AwsError
from .requests import AwsRequest

# What a page may send without a preflight request.
FORM_TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/")

_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::[0-9]{1,5})?")
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_ACCESS_KEY = re.compile(r"[\w.+=@-]{1,128}", re.ASCII)


@dataclass(frozen=True)
class Signer:
    """Who signed a request, and for what; empty where it is not signed.

    Args:
        access_key: its id.
    """

    access_key: str = ""
    region: str = DEFAULT_REGION
    service: str = ""


def signer_of(http: Request) -> Signer:
    """The signer that the `Authorization` of a request names, or the query of a presigned URL."""
    authorization, query = http.headers.get("Authorization", ""), http.query_params
    if authorization.startswith("AWS "):  # version 2, of S3 only: `AWS ID:SIGNATURE`
        return Signer(authorization[4:].partition(":")[0], service="s3")
    if not authorization and "AWSAccessKeyId" in query:
        return Signer(query["AWSAccessKeyId"], service="s3")
    scope = authorization.partition("Credential=")[2].partition(",")[0] or query.get("X-Amz-Credential", "")
    match scope.strip().split("/"):
        case [access_key, _, region, service, "aws4_request"]:
            return Signer(access_key, region, service)
        case [access_key, _, service, "aws4_request"]:  # version 4A names no region
            return Signer(access_key, service=service)
    return Signer()


class Access:
    """The rules.

    Args:
        host: the address that the runtime is bound to.
        allowed_hosts: names of it beside those of the loopback address.
        access_key: the id that requests must be signed with; None: any, or none.
        allow_anyone: bind an address that other machines reach without an access key.

    Raises:
        ValueError: a name or an id that cannot be one, or neither a key nor `allow_anyone` for such an address.
    """

    def __init__(self, *, host: str, allowed_hosts: Iterable[str], access_key: str | None, allow_anyone: bool) -> None:
        if isinstance(allowed_hosts, str):
            raise ValueError(f"allowed_hosts: {allowed_hosts!r} is a text; give a list of names")
        if access_key is not None and not _ACCESS_KEY.fullmatch(access_key):
            raise ValueError(f"access_key: {access_key!r} is not an id; give letters and digits")
        if not is_loopback(host) and access_key is None and not allow_anyone:
            raise ValueError(
                f"host: other machines reach {host!r}, and would use these models and buckets. Give an access key that "
                "their requests must be signed with (`access_key=ID`), or allow everybody "
                "(`allow_anyone=True`)"
            )
        self._access_key = access_key
        self._allowed = {_allowed_name(name) for name in allowed_hosts}
        if not is_loopback(host) and not is_wildcard(host):
            self._allowed.add(_allowed_name(host))

    def check(self, request: AwsRequest, signer: Signer) -> None:
        """Check what can be known before a request's body is read.

        Raises:
            AwsError: the request is refused.
        """
        http = request.http
        if not http.scope["raw_path"].startswith(b"/"):
            raise AwsError(request.denied_code, "The request's target is not a path.", 403)
        self._check_host(request)
        own_origin = f"http://{http.headers['Host']}".lower()
        origins, sites = http.headers.getlist("Origin"), http.headers.getlist("Sec-Fetch-Site")
        if any(origin.lower() != own_origin for origin in origins) or set(sites) - {"same-origin", "none"}:
            raise AwsError(request.denied_code, "A web page of another origin may not use the local runtime.", 403)
        if request.refuses_forms:
            for content_type in http.headers.getlist("Content-Type"):
                if content_type.strip().lower().startswith(FORM_TYPES):
                    message = f"The local runtime does not accept {content_type!r} here; send application/json."
                    raise AwsError(request.denied_code, message, 415)
        if not _REGION.fullmatch(signer.region):
            message = "Credential should be scoped to a valid region."
            raise AwsError("IncompleteSignature", message)
        if self._access_key and not hmac.compare_digest(signer.access_key.encode(), self._access_key.encode()):
            message = "The security token included in the request is invalid: it is not the runtime's access key."
            raise AwsError(request.unknown_key_code, message, 403)

    def _check_host(self, request: AwsRequest) -> None:
        headers = request.http.headers.getlist("Host")
        name = host_name(headers[0]) if len(headers) == 1 else None
        if name is None:
            raise AwsError(request.denied_code, "The request needs one valid Host header.", 403)
        server = request.http.scope.get("server") or ("",)
        if not (is_loopback(name) or name in self._allowed or name == server[0]):
            message = f"Host {name!r} is not a name of the local runtime; start it with --allowed-host {name}."
            raise AwsError(request.denied_code, message, 403)


def host_name(header: str) -> str | None:
    """The name or the address in a `Host` header, in lower case, without its port and brackets; None if not valid."""
    match = _HOST.fullmatch(header.lower()) if len(header) <= 300 else None
    return None if match is None else match[1].strip("[]")


def is_loopback(name: str) -> bool:
    """Whether only this machine reaches a name: `localhost`, what ends in `.localhost`, 127.0.0.0/8 and ::1."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def is_wildcard(host: str) -> bool:
    """Whether an address to bind means all addresses of this machine."""
    return host in ("", "0.0.0.0", "::")


def _allowed_name(text: str) -> str:
    bracketed = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    name = host_name(bracketed)
    if name is None or ":" in bracketed.rpartition("]")[2]:
        raise ValueError(
            f"allowed_hosts: {text!r} is not a host name; give it without scheme, port and wildcards, "
            "for example host.docker.internal"
        )
    return name
