"""What a request to an endpoint aims at inside it: a variant, an inference component, or one of several models.

Source: the messages are the service's (amazon-sagemaker-examples, issues 1026 and 1216; langchain-aws); that for an
unknown variant is ours.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..account import ACCOUNT
from ..errors import AwsError
from ..sagemaker.records import Record

VARIANT_HEADER = "X-Amzn-SageMaker-Target-Variant"
COMPONENT_HEADER = "X-Amzn-SageMaker-Inference-Component"
MODEL_HEADER = "X-Amzn-SageMaker-Target-Model"


def targeted_variant(
    endpoint: Record, headers: Mapping[str, str], has_model: Callable[[Mapping[str, Any], str], bool]
) -> str:
    """The name of the variant that answers.

    Args:
        has_model: whether a container that serves several models has one of this name.

    Raises:
        AwsError: the endpoint does not have what the headers aim at.
    """
    name, variants = endpoint["EndpointName"], {variant["VariantName"]: variant for variant in endpoint["Variants"]}
    variant = headers.get(VARIANT_HEADER) or next(iter(variants))
    if variant not in variants:
        raise AwsError("ValidationError", f"Variant {variant} of endpoint {name} of account {ACCOUNT} not found.")
    if headers.get(COMPONENT_HEADER):
        raise AwsError(
            "ValidationError",
            "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy inference "
            "components. Please remove the Inference Component Name header and try again.",
        )
    if model := headers.get(MODEL_HEADER):
        container = variants[variant]["Container"]
        if container.get("Mode") != "MultiModel":
            message = f"Endpoint {name} is not a multi-model endpoint and does not support target model header."
            raise AwsError("ValidationError", message)
        if not has_model(container, model):
            raise AwsError(
                "ValidationError",
                f"Failed to download model data for {model}. Please ensure that there is an object located at the URL and "
                "that the role passed to CreateModel has permissions to download the model.",
            )
    return str(variant)
