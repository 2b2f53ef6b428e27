"""Read JumpStart's spec files for one instance type in one region, in each of their layouts.

The files grew over the years: images named by framework and version (`hosting_ecr_specs`), then by region and instance
type (`hosting_instance_type_variants`), then several configurations to choose from (`inference_configs`). Field names are
those of the files, which `bucket.py` fetches.

Source: the readers of the same files in sagemaker-python-sdk 2.257.7 (`sagemaker/jumpstart/types.py`).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .images import framework_image, has_gpu

Spec = Mapping[str, Any]

# The fields that are used here and in `specs.py`.
USED = (
    "model_id",
    "version",
    "deprecated",
    "gated_bucket",
    "hosting_eula_key",
    "hosting_model_package_arns",
    "hosting_ecr_specs",
    "hosting_use_script_uri",
    "hosting_artifact_key",
    "hosting_prepacked_artifact_key",
    "hosting_additional_data_sources",
    "default_inference_instance_type",
    "supported_inference_instance_types",
    "inference_volume_size",
    "inference_enable_network_isolation",
    "deploy_kwargs",
    "default_payloads",
    "inference_environment_variables",
    "hosting_instance_type_variants",
    "inference_configs",
    "inference_config_components",
    "inference_config_rankings",
)

# Fields of a file that its configurations cannot change.
FIXED = {
    "model_id",
    "url",
    "version",
    "min_sdk_version",
    "deprecated",
    "deprecated_message",
    "deprecate_warn_message",
    "resource_name_base",
    "gated_bucket",
    "training_supported",
    "incremental_training_supported",
}


def trimmed(spec: Spec) -> dict[str, Any]:
    """A file's contents without the fields that are not used here."""
    left = {name: spec[name] for name in USED if name in spec}
    if variables := left.get("inference_environment_variables"):
        left["inference_environment_variables"] = [_only(each, ("name", "default")) for each in variables]
    if payloads := left.get("default_payloads"):
        left["default_payloads"] = {name: _only(each, ("prompt_key",)) for name, each in payloads.items()}
    if components := left.get("inference_config_components"):
        left["inference_config_components"] = {name: trimmed(each) for name, each in components.items()}
    return left


def configured(spec: Spec, instance_type: str | None) -> Spec:
    """The spec with the first configuration, in its own ranking, that runs on the instance type.

    One that wants further models beside the main one (speculative decoding) is passed over.
    """
    configurations = [_merged(spec, names) for names in _ranked_components(spec)]
    alone = [each for each in configurations if not each.get("hosting_additional_data_sources")]
    fitting = [each for each in alone if instance_type is None or instance_type in instance_types(each)]
    return next(iter(fitting or alone or configurations), spec)


def instance_types(spec: Spec) -> tuple[str, ...]:
    """The instance types that are supported, the default one among them."""
    default = spec.get("default_inference_instance_type")
    supported = tuple(spec.get("supported_inference_instance_types") or ())
    return supported if default is None or default in supported else (default, *supported)


def image(spec: Spec, instance_type: str, region: str) -> str | None:
    """The container's image; None if the file names none for this instance type and region."""
    if (spec.get("hosting_instance_type_variants") or {}).get("variants"):
        return _regional(spec, instance_type, region, "image_uri")
    return framework_image(spec.get("hosting_ecr_specs") or {}, region=region, gpu=has_gpu(instance_type))


def model_package(spec: Spec, instance_type: str, region: str) -> str | None:
    """The ARN of the model package, if the model is one."""
    arn = (spec.get("hosting_model_package_arns") or {}).get(region)
    return arn or _regional(spec, instance_type, region, "model_package_arn")


def environment(spec: Spec, instance_type: str) -> dict[str, str]:
    """The container's variables: the model's own, overridden by those of the instance's family, then of its type."""
    variables = {each["name"]: each.get("default") for each in spec.get("inference_environment_variables") or ()}
    for variant in reversed(list(_variants(spec, instance_type))):
        variables |= variant.get("properties", {}).get("environment_variables") or {}
    return {name: str(value) for name, value in variables.items() if value is not None}


def artifact_key(spec: Spec, instance_type: str) -> str | None:
    """The key of the model in its bucket: packed with its script if available, else the weights alone.

    None if the weights would have to be packed with a script first, as the SageMaker SDK does.
    """
    prepacked = _property(spec, instance_type, "prepacked_artifact_key") or spec.get("hosting_prepacked_artifact_key")
    if prepacked or spec.get("hosting_use_script_uri", True):
        return prepacked
    return _property(spec, instance_type, "artifact_key") or spec.get("hosting_artifact_key")


def prompt_keys(spec: Spec) -> set[str]:
    """The fields of a request's body that contain the prompt in the file's own examples."""
    payloads = (spec.get("default_payloads") or {}).values()
    return {str(each["prompt_key"]) for each in payloads if each.get("prompt_key")}


def _only(mapping: Spec, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: mapping[name] for name in names if name in mapping}


def _ranked_components(spec: Spec) -> list[list[str]]:
    """The component names of each configuration, the best configuration first."""
    configurations = spec.get("inference_configs") or {}
    ranking = (spec.get("inference_config_rankings") or {}).get("overall", {}).get("rankings")
    return [configurations[name].get("component_names") or [] for name in ranking or sorted(configurations)]


def _merged(spec: Spec, components: list[str]) -> Spec:
    merged: Spec = spec
    for name in components:
        component = spec["inference_config_components"][name]
        merged = _over(merged, {field: value for field, value in component.items() if field not in FIXED})
    return merged


def _over(below: Spec, above: Spec) -> dict[str, Any]:
    """Merge two mappings recursively; values of `above` win."""
    joined = {
        name: _over(below[name], value)
        if isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
        else value
        for name, value in above.items()
    }
    return {**below, **joined}


def _variants(spec: Spec, instance_type: str) -> Iterator[Spec]:
    """The variants for the instance type, then for its family (`g5` of `ml.g5.2xlarge`)."""
    variants = (spec.get("hosting_instance_type_variants") or {}).get("variants") or {}
    family = re.match(r"ml\.([a-z0-9-]+)\.", instance_type)
    for name in (instance_type, family[1] if family else ""):
        if name in variants:
            yield variants[name]


def _property(spec: Spec, instance_type: str, name: str) -> str | None:
    values = (variant.get("properties", {}).get(name) for variant in _variants(spec, instance_type))
    return next((value for value in values if value), None)


def _regional(spec: Spec, instance_type: str, region: str, name: str) -> str | None:
    """A property written as `$ALIAS`, resolved with the region's list of aliases."""
    aliases = ((spec.get("hosting_instance_type_variants") or {}).get("regional_aliases") or {}).get(region) or {}
    values = (variant.get("regional_properties", {}).get(name) for variant in _variants(spec, instance_type))
    alias = next((value for value in values if value), "")
    return aliases.get(alias.removeprefix("$"))
