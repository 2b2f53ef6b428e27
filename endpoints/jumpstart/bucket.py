"""JumpStart's public files, read from its bucket in a region: the manifest, and a spec file for each version.

spec = read_spec("huggingface-llm-falcon-7b-instruct-bf16", region="us-east-1", version="4.*")

The bucket is public, so no credentials are needed; `AWS_ENDPOINT_URL_S3` points boto3 at another S3. Nothing is cached. The
contents of a spec file are read by `spec_files.py`.
"""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import botocore.exceptions
from botocore import UNSIGNED
from botocore.config import Config
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from sagechain.llms import errors
from sagechain.llms.sagemaker import as_llm_error, create_client, find_session
from sagechain.prompts import check_known, unknown_name

from .images import regions
from .models import catalogue

MANIFEST = "models_manifest.json"


def read_spec(model_id: str, *, region: str, version: str = "*", client: Any = None) -> dict[str, Any]:
    """The contents of a model's spec file.

    Args:
        model_id: JumpStart's id.
        region: the region of the bucket.
        version: one version, or a pattern (`4.*`), of which the newest matching version is read.
        client: boto3's client for S3; default: one without credentials.

    Raises:
        ValueError: an unknown region, id or version.
        LLMError: S3 does not answer, or refuses the files.
    """
    check_known("region", [region], regions())
    reader = _Reader(model_id, region, client)
    entry = _entry(reader.load(MANIFEST), model_id, version, region)
    spec: dict[str, Any] = reader.load(entry["spec_key"])
    return spec


class _Reader:
    """Reads JSON files out of JumpStart's bucket of a region."""

    def __init__(self, model_id: str, region: str, client: Any) -> None:
        self._model_id, self._bucket, self._client = model_id, f"jumpstart-cache-prod-{region}", client
        if client is None:
            self._client = create_client("s3", *find_session(region), config=Config(signature_version=UNSIGNED))

    def load(self, key: str) -> Any:
        try:
            return json.loads(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        except botocore.exceptions.ClientError as error:
            raise self._error(key, error) from error
        except ValueError as error:
            message = f"s3://{self._bucket}/{key} is not JSON: {error}."
            raise errors.MalformedResponse(self._model_id, message) from error
        except Exception as error:
            raise as_llm_error(self._model_id, error) or error from error

    def _error(self, key: str, error: botocore.exceptions.ClientError) -> Exception:
        code, address = error.response["Error"].get("Code"), f"s3://{self._bucket}/{key}"
        if code in ("AccessDenied", "403", "AllAccessDisabled"):
            message = (
                f"{address} is not public (a gated or private model); give `client` of an account that may read it."
            )
            return errors.AccessDenied(self._model_id, message)
        if code in ("NoSuchKey", "NoSuchBucket", "404"):
            return errors.RequestRejected(self._model_id, f"JumpStart has no {address} ({code}).")
        return as_llm_error(self._model_id, error) or error


def _entry(manifest: Sequence[Mapping[str, str]], model_id: str, version: str, region: str) -> Mapping[str, str]:
    """The manifest's newest entry for the model and version."""
    entries = {each["version"]: each for each in manifest if each["model_id"] == model_id}
    if not entries:
        known = {each["model_id"] for each in manifest} | {each.model_id for each in catalogue()}
        near = get_close_matches(model_id, sorted(known - {model_id}), n=3)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"model_id: {model_id!r} is not in JumpStart's manifest of {region}.{hint}")
    matching = [each for each in entries if _matches(each, version)]
    if not matching:
        raise unknown_name("version", version, entries)
    return entries[max(matching, key=Version)]


def _matches(version: str, wanted: str) -> bool:
    if wanted == "*":
        return True
    try:
        return Version(version) in SpecifierSet(f"=={wanted}", prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return version == wanted
