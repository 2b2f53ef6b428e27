"""Container images: the one for a model of your own, and the wire of an image. The facts are in `images.yaml`.

container_image("hf", region="us-east-1", gpu=False)     # a checkpoint folder on a machine without a GPU
wire_of_image(image, {"MESSAGES_API_ENABLED": "true"})   # "messages"
"""

from collections.abc import Mapping
from typing import Any

from sagechain.prompts import check_known, read_yaml, unknown_name


def container_image(container: str, *, region: str, gpu: bool) -> str:
    """The address of an image of AWS's Deep Learning Containers.

    Args:
        container: `hf` (the Hugging Face inference toolkit), `lmi` (DJL Large Model Inference) or `tgi` (Hugging Face
            Text Generation Inference).
        region: the endpoint's region.
        gpu: whether its instance type has a GPU.

    Raises:
        ValueError: an unknown container or region, or a container that does not run without a GPU.
    """
    containers = _data()["containers"]
    if container not in containers:
        raise unknown_name("container", container, containers)
    image = containers[container]["gpu" if gpu else "cpu"]
    if image is None:
        raise ValueError(f"container: {container!r} needs a GPU; use 'hf', or an instance type such as ml.g5.xlarge")
    return address(image, region)


def wire_of_image(image: str, environment: Mapping[str, Any] | None = None) -> str | None:
    """The wire of a container, by its image's name and its environment; None for an unknown image.

    Args:
        image: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG`, or a copy of that in another registry.
        environment: the container's environment variables.
    """
    repository = image.rsplit("/", 1)[-1].split(":")[0].split("@")[0]
    wire = next((wire for start, wire in _data()["wires"].items() if repository.startswith(start)), None)
    return "messages" if wire in ("tgi", "lmi") and _speaks_messages(environment or {}) else wire


def framework_image(specs: Mapping[str, str], *, region: str, gpu: bool) -> str | None:
    """The image of a framework's version, as older JumpStart specs name it (`hosting_ecr_specs`); None if unknown.

    Args:
        specs: `framework`, `framework_version` and, where the framework is `huggingface`,
            `huggingface_transformers_version`.
        region: the endpoint's region.
        gpu: whether its instance type has a GPU.
    """
    image = _data()["frameworks"].get(specs.get("framework"), {}).get(specs.get("framework_version"))
    if isinstance(image, Mapping):  # `huggingface`: by the version of transformers too
        image = image.get(specs.get("huggingface_transformers_version"), {}).get("gpu" if gpu else "cpu")
    return None if image is None else address(image, region)


def address(image: str, region: str) -> str:
    """The full address of `REPOSITORY:TAG` in a region's registry.

    Raises:
        ValueError: a region without a known registry.
    """
    check_known("region", [region], regions())
    [account] = [account for account, names in _data()["accounts"].items() if region in names]
    return f"{account}.dkr.ecr.{region}.{domain_of(region)}/{image}"


def regions() -> list[str]:
    """The regions with images."""
    return [name for names in _data()["accounts"].values() for name in names]


def domain_of(region: str) -> str:
    """The domain of AWS's hosts in a region: `amazonaws.com` in most."""
    return next((end for start, end in _data()["domains"].items() if region.startswith(start)), "amazonaws.com")


def has_gpu(instance_type: str) -> bool:
    """Whether an instance type has a GPU: those of the families `g…` and `p…` do."""
    return instance_type.removeprefix("ml.")[:1] in ("g", "p")


def _speaks_messages(environment: Mapping[str, Any]) -> bool:
    variables = _data()["messages_when"].items()
    return any(str(environment.get(name, "")).lower() in values for name, values in variables)


def _data() -> dict[str, Any]:
    data: dict[str, Any] = read_yaml(__package__, "images.yaml")
    return data
