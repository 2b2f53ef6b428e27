"""A model of your own: its container, instance and wire; from a checkpoint's folder, an S3 address, or an image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagechain.llms.wires import DEFAULT_WIRES

from .jumpstart.images import container_image, has_gpu, wire_of_image
from .request import DeploymentRequest

SMALL_INSTANCE = "ml.m5.xlarge"  # 16 GB, no GPU: for checkpoints of up to some hundred million parameters
SMALL_BYTES = 2_000_000_000
# Variables with which a container loads the model that SageMaker puts into /opt/ml/model.
ENVIRONMENTS = {"hf": {"HF_TASK": "text-generation"}, "tgi": {"HF_MODEL_ID": "/opt/ml/model"}}


def own_container(request: DeploymentRequest, region: str) -> dict[str, Any]:
    """The fields of a plan that depend on the model; those that the request lacks are derived.

    Raises:
        ValueError: a field cannot be derived; the message names the arguments that determine it.
    """
    model_data = None if request.model_data is None else str(request.model_data)
    is_folder = model_data is not None and not model_data.startswith("s3://")
    checkpoint = _checkpoint(Path(str(model_data))) if is_folder else None
    instance_type = request.instance_type or _instance_type(checkpoint)
    wire = request.wire or _wire(request)
    image, environment = request.image, request.environment
    if image is None:
        image = container_image(_container_name(wire), region=region, gpu=has_gpu(instance_type))
        environment = {**ENVIRONMENTS.get(wire, {}), **environment}
    container: dict[str, Any] = {"Image": image, "Environment": dict(environment)}
    if model_data is not None and not is_folder:
        container |= _data_source(model_data)
    family = request.family or ("messages" if wire == "messages" else "plain")
    return {
        "container": container,
        "instance_type": instance_type,
        "family": family,
        "wire": wire,
        "checkpoint": checkpoint,
    }


def _wire(request: DeploymentRequest) -> str:
    if request.image is None:
        return "hf"
    wire = wire_of_image(request.image, request.environment) or DEFAULT_WIRES.get(request.family or "")
    if wire is None:
        raise ValueError(
            f"wire: it cannot be derived from the image {request.image!r}; give wire, and family for a chat model"
        )
    return wire


def _container_name(wire: str) -> str:
    if wire in ("hf", "lmi", "tgi"):
        return wire
    raise ValueError(
        f"image: not given, and no known image has the wire {wire!r}; give an image, or wire='hf', 'lmi' or 'tgi'"
    )


def _data_source(model_data: str) -> Mapping[str, Any]:
    if model_data.endswith(".tar.gz"):
        return {"ModelDataUrl": model_data}
    if not model_data.endswith("/"):
        raise ValueError(f"model_data: {model_data!r} is neither an archive (….tar.gz) nor a prefix (…/)")
    source = {"S3Uri": model_data, "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {"ModelDataSource": {"S3DataSource": source}}


def _checkpoint(folder: Path) -> Path:
    folder = folder.expanduser()
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"model_data: {str(folder)!r} is not a checkpoint: it has no config.json. Give the folder of a Hugging Face "
            "checkpoint (`sagechain pretrain export` writes one), or an s3:// address"
        )
    return folder


def _instance_type(checkpoint: Path | None) -> str:
    if checkpoint is None:
        raise ValueError("instance_type: not given; name one with enough memory, such as ml.g5.2xlarge")
    size = sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
    if size > SMALL_BYTES:
        raise ValueError(
            f"instance_type: a checkpoint of {size / 1e9:.1f} GB needs a GPU; name the instance, such as ml.g5.2xlarge"
        )
    return SMALL_INSTANCE
