"""Invoking an endpoint with a stock boto3 client, and what SmolLM2 answers to a simple prompt."""

import json
from typing import Any

PROMPT = "User: What is the capital of France?\nAssistant:"
ANSWER = " The capital of France is Paris."
DIALOG = [[{"role": "user", "content": "What is the capital of France?"}]]


def invoke(client: Any, endpoint: str, body: Any, **options: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = client.invoke_endpoint(EndpointName=endpoint, ContentType="application/json", Body=data, **options)
    return json.loads(reply["Body"].read())


def stream(client: Any, endpoint: str, body: Any, **options: Any) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = client.invoke_endpoint_with_response_stream(
        EndpointName=endpoint, ContentType="application/json", Body=data, **options
    )
    return b"".join(event["PayloadPart"]["Bytes"] for event in reply["Body"])


def events(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix(b"data:")) for line in raw.split(b"\n\n") if line]
