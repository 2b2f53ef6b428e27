"""Names of endpoints, variants and inference components as SageMaker accepts them, and ARNs of endpoints."""

import re

NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # SageMaker's own pattern
MAX_CHARACTERS = 63
ARN = re.compile(
    r"arn:aws[a-z-]*:sagemaker:(?P<region>[a-z0-9-]+):\d{12}:endpoint/(?P<name>[^/]+)", re.IGNORECASE | re.ASCII
)


def check_name(field: str, name: object) -> None:
    """Raise ValueError for a name that SageMaker cannot have."""
    if not isinstance(name, str) or len(name) > MAX_CHARACTERS or not NAME.fullmatch(name):
        raise ValueError(
            f"{field}: {name!r} is not a name that SageMaker accepts: letters, digits and hyphens between them, "
            f"{MAX_CHARACTERS} at most"
        )


def name_and_region(endpoint: str) -> tuple[str, str | None]:
    """The endpoint's name, and its region if `endpoint` is an ARN. Raises ValueError on an ARN of something else."""
    if not endpoint.startswith("arn:"):
        return endpoint, None
    if (match := ARN.fullmatch(endpoint)) is None:
        raise ValueError(
            f"endpoint_name: {endpoint!r} is not the ARN of an endpoint, arn:aws:sagemaker:REGION:ACCOUNT:endpoint/NAME"
        )
    return match["name"], match["region"]
