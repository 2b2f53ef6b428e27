"""What a deployment consists of: an endpoint, its configuration and its model."""

from dataclasses import dataclass

KINDS = ("endpoint", "endpoint_config", "model")  # in the order of deletion
LABELS = {"endpoint": "endpoint", "endpoint_config": "configuration", "model": "model"}


@dataclass(frozen=True)
class Resource:
    """An endpoint, configuration or model."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{LABELS[self.kind]} {self.name}"

    @property
    def api_name(self) -> str:
        """`EndpointConfig`: the kind as AWS's parameters spell it."""
        return "".join(part.capitalize() for part in self.kind.split("_"))

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of a request that describes or deletes it."""
        return {f"{self.api_name}Name": self.name}


def resources_of(name: str) -> list[Resource]:
    """The resources that `deploy` creates under one name."""
    return [Resource(kind, name) for kind in KINDS]
