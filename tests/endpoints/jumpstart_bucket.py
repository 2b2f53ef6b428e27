"""A bucket of JumpStart's on this machine: an S3 server that knows one request, GET /BUCKET/KEY, and a few spec files.

The files are made up, in the layouts that JumpStart's have (fields as sagemaker-python-sdk 2.257.7
reads them, `sagemaker/jumpstart/types.py`): by framework and version, as a model package, by region and instance type,
and with several configurations.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REGION = "us-east-1"
BUCKET = f"jumpstart-cache-prod-{REGION}"
DLC = f"763104351884.dkr.ecr.{REGION}.amazonaws.com"
TGI = f"{DLC}/huggingface-pytorch-tgi-inference:2.4.0-tgi2.4.0-gpu-py311-cu124-ubuntu22.04"
LMI = f"{DLC}/djl-inference:0.28.0-lmi10.0.0-cu124"
HF = f"{DLC}/huggingface-pytorch-inference:2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04"
NO_ACCESS = b"no access"

FALCON = "huggingface-llm-falcon-7b-instruct-bf16"
LLAMA = "meta-textgeneration-llama-2-7b-f"
EULA_KEY = "fmhMetadata/eula/llamaEula.txt"


def variables(**values: Any) -> list[dict[str, Any]]:
    return [{"name": name, "type": "text", "default": value, "scope": "container"} for name, value in values.items()]


def variants(image: str, *, regions: tuple[str, ...] = (REGION,), **others: Any) -> dict[str, Any]:
    """One image for the families g5 and p4d, referred to by an alias, and other settings of instance types."""
    by_family = {family: {"regional_properties": {"image_uri": "$gpu_ecr_uri_1"}} for family in ("g5", "p4d")}
    return {
        "regional_aliases": {region: {"gpu_ecr_uri_1": image.replace(REGION, region)} for region in regions},
        "variants": by_family | others,
    }


def falcon(version: str, **changes: Any) -> dict[str, Any]:
    return {
        "model_id": FALCON,
        "version": version,
        "hosting_ecr_specs": {"framework": "huggingface-llm", "framework_version": "0.9.3", "py_version": "py39"},
        "hosting_artifact_key": "huggingface-llm/falcon/inference/v2.0.0/",
        "hosting_prepacked_artifact_key": "huggingface-llm/falcon/inference-prepack/v2.0.0/",
        "inference_environment_variables": variables(
            HF_MODEL_ID="/opt/ml/model", MAX_TOTAL_TOKENS="2048", SM_NUM_GPUS="1", ENDPOINT_SERVER_TIMEOUT=3600
        ),
        "default_inference_instance_type": "ml.g5.2xlarge",
        "supported_inference_instance_types": ["ml.g5.2xlarge", "ml.g5.12xlarge"],
        "deploy_kwargs": {"model_data_download_timeout": 1200, "container_startup_health_check_timeout": 900},
        "inference_volume_size": 256,
        "inference_enable_network_isolation": True,
        "hosting_instance_type_variants": variants(
            TGI,
            regions=(REGION, "eu-west-1"),
            **{
                "ml.g5.12xlarge": {
                    "properties": {
                        "environment_variables": {"SM_NUM_GPUS": "4"},
                        "prepacked_artifact_key": "huggingface-llm/falcon/inference-prepack/four/",
                    }
                }
            },
        ),
    } | changes


def llama(version: str, **changes: Any) -> dict[str, Any]:
    return (
        falcon(
            version,
            model_id=LLAMA,
            gated_bucket=True,
            hosting_eula_key=EULA_KEY,
            inference_environment_variables=variables(MAX_TOTAL_TOKENS="4096", SM_NUM_GPUS="1"),
            hosting_instance_type_variants=variants(TGI),
        )
        | changes
    )


# As `inference_configs` are laid out: names, components by name, and a ranking called `overall`.
CONFIGURATIONS = {
    "hosting_instance_type_variants": None,
    "inference_configs": {
        "lmi-optimized": {"component_names": ["lmi", "draft"]},
        "lmi": {"component_names": ["lmi"]},
        "tgi": {"component_names": ["tgi"]},
    },
    "inference_config_components": {
        "draft": {"hosting_additional_data_sources": {"speculative_decoding": [{"channel_name": "draft_model"}]}},
        "lmi": {
            "gated_bucket": False,
            "supported_inference_instance_types": ["ml.p4d.24xlarge"],
            "default_inference_instance_type": "ml.p4d.24xlarge",
            "inference_environment_variables": variables(OPTION_MAX_MODEL_LEN="4096"),
            "hosting_instance_type_variants": variants(LMI),
        },
        "tgi": {
            "supported_inference_instance_types": ["ml.g5.2xlarge"],
            "default_inference_instance_type": "ml.g5.2xlarge",
            "hosting_instance_type_variants": variants(TGI),
        },
    },
    "inference_config_rankings": {
        "overall": {"description": "best first", "rankings": ["lmi-optimized", "lmi", "tgi"]}
    },
}

PACKAGE = f"arn:aws:sagemaker:{REGION}:865070037744:model-package/llama2-7b-f-made-up"
FROM_SCRIPT: dict[str, Any] = {
    "model_id": "huggingface-textgeneration-old",
    "version": "1.0.0",
    "hosting_ecr_specs": {
        "framework": "huggingface",
        "framework_version": "1.10.2",
        "py_version": "py38",
        "huggingface_transformers_version": "4.17.0",
    },
    "hosting_artifact_key": "huggingface-infer/old.tar.gz",
    "inference_environment_variables": [],
    "default_inference_instance_type": "ml.m5.xlarge",
}
SPECS = [
    falcon(
        "1.0.0", hosting_instance_type_variants=None, hosting_prepacked_artifact_key="huggingface-infer/falcon.tar.gz"
    ),
    falcon("4.6.9", deprecated=True),
    falcon("4.6.16"),
    falcon(
        "3.0.0",
        inference_environment_variables=variables(MESSAGES_API_ENABLED="true"),
        hosting_prepacked_artifact_key=None,
        hosting_use_script_uri=False,
    ),
    llama("2.0.4", hosting_model_package_arns={REGION: PACKAGE}),
    llama("4.3.0"),
    llama("4.27.0", **CONFIGURATIONS),
    FROM_SCRIPT,
    FROM_SCRIPT
    | {
        "version": "2.0.0",
        "hosting_prepacked_artifact_key": "huggingface-infer/prepack/old.tar.gz",
        "default_payloads": {"a": {"content_type": "application/json", "prompt_key": "text_inputs", "body": {}}},
    },
    falcon("1.0.0", model_id="huggingface-asr-whisper", hosting_instance_type_variants=variants(HF)),
    falcon("1.0.0", model_id="huggingface-textgeneration1-lightgpt", hosting_instance_type_variants=variants(HF)),
    falcon(
        "1.0.0", model_id="example-llm-without-a-name", hosting_instance_type_variants=variants(f"{DLC}/vllm:0.30.0")
    ),
]


def key_of(spec: dict[str, Any]) -> str:
    return f"community_models/{spec['model_id']}/specs_v{spec['version']}.json"


def contents(specs: list[dict[str, Any]]) -> dict[str, bytes]:
    """The manifest and the files of a bucket, by key."""
    listed = [
        {"model_id": spec["model_id"], "version": spec["version"], "min_version": "2.0.0", "spec_key": key_of(spec)}
        for spec in specs
    ]
    listed += [
        {"model_id": "private-llm", "version": "1.0.0", "min_version": "2.0.0", "spec_key": "private.json"},
        {"model_id": "lost-llm", "version": "1.0.0", "min_version": "2.0.0", "spec_key": "lost.json"},
        {"model_id": "broken-llm", "version": "1.0.0", "min_version": "2.0.0", "spec_key": "broken.json"},
    ]
    files = {key_of(spec): json.dumps(spec).encode() for spec in specs}
    return files | {
        "models_manifest.json": json.dumps(listed).encode(),
        "private.json": NO_ACCESS,
        "broken.json": b"<html>",
    }


@contextmanager
def served(buckets: dict[str, dict[str, bytes]]) -> Iterator[str]:
    """The address of a server of these buckets' objects that needs no credentials."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            bucket, _, key = self.path.split("?")[0].lstrip("/").partition("/")
            body = buckets.get(bucket, {}).get(key)
            if body is None:
                code = "NoSuchKey" if bucket in buckets else "NoSuchBucket"
                self._answer(404, f"<Error><Code>{code}</Code><Message>none</Message></Error>".encode())
            elif body == NO_ACCESS:
                self._answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
            else:
                self._answer(200, body)

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
