"""JumpStart's own public files, read from its bucket of a region: the manifest, and a spec file a version.

spec = read_spec("huggingface-llm-falcon-7b-instruct-bf16", region="us-east-1", version="4.*")

The bucket is public, so no credentials are needed; boto3's own chain says where S3 is (`AWS_ENDPOINT_URL_S3`). Nothing is
kept: whoever asks often keeps the answer. What stands in a file is read by `spec_files.py`.
"""

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import boto3
import botocore.exceptions
from botocore import UNSIGNED
from botocore.config import Config
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from sagechain.llms import errors
from sagechain.llms.sagemaker import as_llm_error
from sagechain.prompts import check_known, unknown_name

from .images import regions
from .models import catalogue

MANIFEST = "models_manifest.json"


def read_spec(model_id: str, *, region: str, version: str = "*", client: Any = None) -> dict[str, Any]:
    """The contents of a model's spec file.

    Args:
        model_id: JumpStart's id.
        region: whose bucket is read.
        version: one version, or a pattern (`4.*`) that the newest matching version is taken of.
        client: boto3's client for S3; one without credentials if not given.

    Raises:
        ValueError: an unknown region, id or version.
        LLMError: S3 does not answer, or does not give the files.
    """
    check_known("region", [region], regions())
    reader = _Reader(model_id, region, client)
    entry = _chosen(reader.json_of(MANIFEST), model_id, version, region)
    spec: dict[str, Any] = reader.json_of(entry["spec_key"])
    return spec


class _Reader:
    """Reads JSON files out of JumpStart's bucket of a region."""

    def __init__(self, model_id: str, region: str, client: Any) -> None:
        self._model_id, self._bucket, self._client = model_id, f"jumpstart-cache-prod-{region}", client
        if client is None:
            self._client = boto3.client("s3", region_name=region, config=Config(signature_version=UNSIGNED))

    def json_of(self, key: str) -> Any:
        try:
            return json.loads(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        except botocore.exceptions.ClientError as error:
            raise self._refused(key, error) from error
        except botocore.exceptions.BotoCoreError as error:
            raise as_llm_error(self._model_id, error) or error from error
        except ValueError as error:
            what = f"s3://{self._bucket}/{key} is not JSON: {error}."
            raise errors.MalformedResponse(self._model_id, what) from error

    def _refused(self, key: str, error: botocore.exceptions.ClientError) -> Exception:
        code, where = error.response["Error"].get("Code"), f"s3://{self._bucket}/{key}"
        if code in ("AccessDenied", "403", "AllAccessDisabled"):
            what = f"{where} is not public (a gated or private model); give `client` of an account that may read it."
            return errors.AccessDenied(self._model_id, what)
        if code in ("NoSuchKey", "NoSuchBucket", "404"):
            return errors.RequestRejected(self._model_id, f"JumpStart has no {where} ({code}).")
        return as_llm_error(self._model_id, error) or error


def _chosen(manifest: Sequence[Mapping[str, str]], model_id: str, version: str, region: str) -> Mapping[str, str]:
    """The manifest's newest entry of the model that the version matches."""
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
