"""Any text model of SageMaker JumpStart, as it is deployed on one instance type in one region.

spec = model_spec("huggingface-llm-falcon-7b-instruct-bf16", region="us-east-1")
spec.image, spec.model_data, spec.environment, spec.wire, spec.family, spec.eula

What the catalogue's models are deployed with comes with sagechain (`jumpstart_specs.yaml`, which `refreshing.py`
generates), so that it is known without a request; any other's is read from JumpStart's bucket (`spec_bucket.py`).
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from sagechain.llms.errors import RequestRejected
from sagechain.prompts import check_known, unknown_name

from . import spec_files
from .bucket import read_spec
from .images import domain_of, regions, wire_of_image
from .models import catalogue, data_of


class JumpStartSpec(BaseModel):
    """A version of a JumpStart model, as it is deployed on one instance type in one region."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_id: str
    version: str
    region: str
    instance_type: str
    """What image, environment and model data are for: the one asked for, else JumpStart's default."""
    instance_types: tuple[str, ...]
    """Those that JumpStart supports."""
    image: str | None
    """The container's image; None where the model comes as a package."""
    model_data: str | None
    """Where the model is: an S3 address that ends in `/` for a folder, else of a `.tar.gz`; None with a package."""
    model_package: str | None
    """The ARN of the model package, where the model comes as one (Llama 2 in versions 1 and 2)."""
    environment: dict[str, str]
    gated: bool
    """Whether S3 gives the model only to accounts that accept its licence."""
    eula: str | None
    """Where the licence is that has to be accepted; None where none has to be."""
    family: str
    wire: str | None
    """What the container speaks; None if nothing tells it, or if it is none of sagechain's wires."""
    context: int | None
    """Tokens of prompt and answer together that the container takes; None if the file does not say."""
    volume_gib: int | None = None
    """Disk that the instance needs, where it has none of its own."""
    download_seconds: int | None = None
    """How long SageMaker may take to fetch the model (`ModelDataDownloadTimeoutInSeconds`)."""
    startup_seconds: int | None = None
    """How long the container may take to start (`ContainerStartupHealthCheckTimeoutInSeconds`)."""
    network_isolation: bool = False
    """Whether the container is to be cut off from the network (`EnableNetworkIsolation`)."""
    deprecated: bool = False

    def container(self, *, accept_eula: bool = False) -> dict[str, Any]:
        """The `PrimaryContainer` of SageMaker's `CreateModel`.

        Args:
            accept_eula: whether you accept the model's licence; S3 gives a gated model to nobody else.
        """
        if self.model_package:
            return {"ModelPackageName": self.model_package}
        is_folder = (self.model_data or "").endswith("/")
        source = {
            "S3Uri": self.model_data,
            "S3DataType": "S3Prefix" if is_folder else "S3Object",
            "CompressionType": "None" if is_folder else "Gzip",
            **({"ModelAccessConfig": {"AcceptEula": True}} if accept_eula and (self.gated or self.eula) else {}),
        }
        return {"Image": self.image, "Environment": self.environment, "ModelDataSource": {"S3DataSource": source}}


def model_spec(model_id: str, *, region: str, instance_type: str | None = None, client: Any = None) -> JumpStartSpec:
    """What a model is deployed with: one of the catalogue without a request, any other as JumpStart's files say.

    Args:
        model_id: the catalogue's id, or any other of JumpStart's.
        region: where the endpoint is to run.
        instance_type: what it is to run on; the catalogue's default if not given, and JumpStart's outside of it.
        client: boto3's client for S3; one without credentials if not given.

    Raises:
        ValueError: an unknown region, id or instance type, or a model that cannot be deployed from its files.
        LLMError: S3 does not answer, or does not give the files.
    """
    check_known("region", [region], regions())
    entries = {entry.model_id: entry for entry in catalogue()}
    if model_id in entries:
        spec = data_of("jumpstart_specs.yaml")["models"][model_id]
        return resolved(spec, region=region, instance_type=instance_type or entries[model_id].instance_type)
    try:
        return jumpstart_spec(model_id, region=region, instance_type=instance_type, client=client)
    except RequestRejected as error:  # no such bucket or file, as where S3 is a local runtime's
        raise ValueError(
            f"{unknown_name('model_id', model_id, entries)}. Any other is JumpStart's: {error.message}"
        ) from error


def jumpstart_spec(
    model_id: str, *, region: str, version: str = "*", instance_type: str | None = None, client: Any = None
) -> JumpStartSpec:
    """What JumpStart's files say of a model today.

    Args:
        model_id: JumpStart's id, such as `huggingface-llm-falcon-7b-instruct-bf16`.
        region: where the endpoint is to run; JumpStart has a bucket in each of its regions.
        version: one version, or a pattern (`4.*`) that the newest matching version is taken of.
        instance_type: what it is to run on; JumpStart's default if not given.
        client: boto3's client for S3; one without credentials if not given.

    Raises:
        ValueError: an unknown region, id, version, or instance type, or a version that cannot be deployed from its files.
        LLMError: S3 does not answer, or does not give the files.
    """
    spec = read_spec(model_id, region=region, version=version, client=client)
    return resolved(spec, region=region, instance_type=instance_type)


def resolved(spec: Mapping[str, Any], *, region: str, instance_type: str | None = None) -> JumpStartSpec:
    """A spec file's contents for one region and instance type.

    Raises:
        ValueError: the file has no image for them, or the version cannot be deployed from its files.
    """
    spec = spec_files.configured(spec, instance_type)
    model_id, chosen = spec["model_id"], instance_type or spec["default_inference_instance_type"]
    package = spec_files.model_package(spec, chosen, region)
    image = None if package else spec_files.image(spec, chosen, region)
    if not (package or image):
        known = ", ".join(spec_files.instance_types(spec))
        raise ValueError(f"instance_type: {model_id} has no container for {chosen!r} in {region}. Supported: {known}")
    environment = {} if package else spec_files.environment(spec, chosen)
    wire = _wire(spec, image, environment)
    options = spec.get("deploy_kwargs") or {}
    return JumpStartSpec(
        model_id=model_id,
        version=spec["version"],
        region=region,
        instance_type=chosen,
        instance_types=spec_files.instance_types(spec),
        image=image,
        model_data=None if package else _model_data(spec, chosen, region),
        model_package=package,
        environment=environment,
        gated=bool(spec.get("gated_bucket")) and not package,
        eula=_public_address(region, spec["hosting_eula_key"]) if spec.get("hosting_eula_key") else None,
        family=_family(model_id, wire),
        wire=wire,
        context=_context(environment),
        volume_gib=spec.get("inference_volume_size"),
        download_seconds=options.get("model_data_download_timeout"),
        startup_seconds=options.get("container_startup_health_check_timeout"),
        network_isolation=bool(spec.get("inference_enable_network_isolation")),
        deprecated=bool(spec.get("deprecated")),
    )


def _model_data(spec: Mapping[str, Any], instance_type: str, region: str) -> str:
    key = spec_files.artifact_key(spec, instance_type)
    if not key:
        raise ValueError(
            f"version: {spec['model_id']} {spec['version']} keeps its weights and its script apart, and only the SageMaker "
            "SDK packs them; take a newer version"
        )
    bucket = "jumpstart-private-cache-prod" if spec.get("gated_bucket") else "jumpstart-cache-prod"
    return key if key.startswith("s3://") else f"s3://{bucket}-{region}/{key}"


def _public_address(region: str, key: str) -> str:
    return f"https://jumpstart-cache-prod-{region}.s3.{region}.{domain_of(region)}/{key}"


def _wire(spec: Mapping[str, Any], image: str | None, environment: Mapping[str, str]) -> str | None:
    """By the image and its environment; the file's own examples of requests know better, where it has some."""
    if image is None:
        return _by_id("package_wires", spec["model_id"])
    wire, keys = wire_of_image(image, environment), spec_files.prompt_keys(spec)
    if any(key.startswith("messages") for key in keys) and "inputs" not in keys:
        return "messages"
    return None if wire == "hf" and not _generates_text(spec["model_id"], keys) else wire


def _generates_text(model_id: str, keys: set[str]) -> bool:
    """Whether a model in the Hugging Face container takes our wire: older scripts want `text_inputs` for `inputs`."""
    tasks = data_of("jumpstart_by_hand.yaml")["text_tasks"]
    return bool(re.search(tasks, model_id)) and (not keys or "inputs" in keys)


def _family(model_id: str, wire: str | None) -> str:
    return _by_id("families", model_id) or ("messages" if wire == "messages" else "plain")


def _by_id(table: str, model_id: str) -> str | None:
    rows = data_of("jumpstart_by_hand.yaml")[table].items()
    return next((value for pattern, value in rows if re.search(pattern, model_id)), None)


def _context(environment: Mapping[str, str]) -> int | None:
    for name in ("MAX_TOTAL_TOKENS", "OPTION_MAX_MODEL_LEN", "MAX_MODEL_LEN"):
        if environment.get(name, "").isdigit():
            return int(environment[name])
    return None
