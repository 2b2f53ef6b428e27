"""A model of your own: which container serves it, on what, over which wire; from a folder, or from an image."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagechain.llms.wires import DEFAULT_WIRES

from .jumpstart.images import container_image, has_gpu, wire_of_image

SMALL_INSTANCE = "ml.m5.xlarge"  # 16 GB, no GPU: for checkpoints of up to some hundred million weights
SMALL_BYTES = 2_000_000_000
# What a container wants to be told where the model lies beside it, in /opt/ml/model.
OWN_SETTINGS = {"hf": {"HF_TASK": "text-generation"}, "tgi": {"HF_MODEL_ID": "/opt/ml/model"}}


@dataclass(frozen=True)
class OwnModel:
    """How a model that is in no catalogue is deployed."""

    container: Mapping[str, Any]
    """`PrimaryContainer` of `CreateModel`, without the address of a checkpoint that is still to be uploaded."""
    instance_type: str
    family: str
    wire: str
    checkpoint: Path | None
    """The folder to pack and upload."""


def own_model(
    *,
    region: str,
    image: str | None,
    model_data: str | Path | None,
    instance_type: str | None,
    family: str | None,
    wire: str | None,
    environment: Mapping[str, str],
) -> OwnModel:
    """Find what was not given. Arguments as for `deploy`.

    Raises:
        ValueError: it cannot be found; the message says what to give.
    """
    checkpoint = None if model_data is None or str(model_data).startswith("s3://") else _checkpoint(Path(model_data))
    if instance_type is None:
        instance_type = _instance_for(checkpoint)
    wire = wire or _wire(image, family, environment)
    if image is None:
        image = container_image(_server_of(wire), region=region, gpu=has_gpu(instance_type))
        environment = {**OWN_SETTINGS.get(wire, {}), **environment}
    container: dict[str, Any] = {"Image": image, "Environment": dict(environment)}
    if checkpoint is None and model_data is not None:
        container |= _address(str(model_data))
    family = family or ("messages" if wire == "messages" else "plain")
    return OwnModel(container, instance_type, family, wire, checkpoint)


def _wire(image: str | None, family: str | None, environment: Mapping[str, str]) -> str:
    if image is None:
        return "hf"
    wire = wire_of_image(image, environment) or DEFAULT_WIRES.get(family or "")
    if wire is None:
        raise ValueError(
            f"wire: it cannot be told from the image {image!r}; give wire, and family where it is a chat model"
        )
    return wire


def _server_of(wire: str) -> str:
    """The container that speaks a wire."""
    if wire in ("hf", "lmi", "tgi"):
        return wire
    raise ValueError(
        f"image: none is given, and none is known that speaks {wire!r}; give one, or wire='hf', 'lmi' or 'tgi'"
    )


def _address(model_data: str) -> dict[str, Any]:
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
            f"model_data: {str(folder)!r} is no checkpoint: it has no config.json. Give the folder of a Hugging Face "
            "checkpoint (`sagechain pretrain export` makes one), or an s3:// address"
        )
    return folder


def _instance_for(checkpoint: Path | None) -> str:
    if checkpoint is None:
        raise ValueError("instance_type: none is given; name one that the model fits on, such as ml.g5.2xlarge")
    size = sum(path.stat().st_size for path in checkpoint.rglob("*") if path.is_file())
    if size > SMALL_BYTES:
        raise ValueError(
            f"instance_type: a checkpoint of {size / 1e9:.1f} GB wants a GPU; name the instance, such as ml.g5.2xlarge"
        )
    return SMALL_INSTANCE
