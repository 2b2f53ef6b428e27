"""Llama 2, Falcon and any other text model behind a SageMaker endpoint, as a LangChain LLM.

    llm = SageMakerLLM(endpoint_name="my-falcon", family="falcon", temperature=0.2)
    llm.invoke("User: Hi\\nAssistant:")

Credentials, region and server address come from boto3's own chain, so the same program runs against AWS and against the
local runtime (`AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME`).
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import boto3
import botocore.exceptions
from botocore.config import Config
from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler, SagemakerEndpoint
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator
from sagechain.prompts import OutputFormat, check_known, get_family

from ..capabilities import Capabilities
from ..generation import Prompt, RunningGeneration
from ..parameters import PARAMETER_NAMES, GenerationParameters
from ..text_model import TextModel
from ..token_counting import load_tokenizer, prompt_too_long
from ..wires import DEFAULT_WIRES, Wire, get_wire
from ..wires.base import OnUnsupported
from .content_handlers import WireContentHandler
from .endpoint_tags import ADD_THEM, family_and_wire
from .invocation import EndpointCall
from .transport import watch

CONNECT_TIMEOUT = 10.0  # seconds


class SageMakerLLM(TextModel, SagemakerEndpoint):
    """A SageMaker endpoint as a LangChain LLM.

    Give `family`, or `wire`, or one of sagechain's content handlers; without any, the endpoint's tags are asked, which
    sagechain writes when it deploys. Inference parameters are fields; langchain-aws's
    `model_kwargs` is taken too, and checked in the same way. With the model's own tokenizer (`tokenizer`, or
    `custom_get_token_ids`: text → token ids) tokens are counted before a request: for `max_length` on wires that do not
    carry it, for prompts that the context has no room for, and for the history of a conversation.

    Raises:
        ValueError: a field that is unknown, of the wrong type or out of range; no wire; no region.
        LLMError: the tags were to be asked, and cannot be read.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # the input may hold keys

    wire: str = ""
    """The format in which the endpoint's container is asked; follows from `family` if not given."""
    content_handler: LLMContentHandler = Field(default=None)  # type: ignore[assignment]  # made from the wire
    accept_eula: bool = False
    """Whether you accept the licence of the model, where one has to be accepted (Llama 2)."""
    variant_name: str | None = None
    """The production variant to ask, where the endpoint has several."""
    context: int | None = Field(default=None, ge=1)
    """Tokens of prompt and answer together that the endpoint takes; the family's if not given."""
    tokenizer: str | Path | None = None
    """The model's `tokenizer.json`, a folder with it, or the model's name on the Hugging Face hub."""
    on_unsupported: OnUnsupported = "error"
    """What happens to a parameter that the wire does not carry: a ValueError, or dropped with a warning."""

    # langchain-aws fills these from the environment; here boto3 looks for credentials, unless these are given.
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None

    _wire: Wire = PrivateAttr()
    _own_client: bool = PrivateAttr(default=False)

    @model_validator(mode="before")
    @classmethod
    def _settings(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_known("parameter", values, cls.model_fields)
        values = dict(values)
        given = values.pop("model_kwargs", None) or {}
        check_known("model_kwargs", given, PARAMETER_NAMES)
        values = {**given, **values}
        if not any(values.get(name) for name in ("family", "wire", "content_handler")):
            values |= _tagged(values)
        values["wire"] = _wire_name(values)
        values["content_handler"] = WireContentHandler(values["wire"])
        return values

    @model_validator(mode="after")
    def validate_environment(self) -> Self:
        """Find the client, if none is given. langchain-aws's own would not leave the credentials to boto3."""
        if not self.endpoint_name:
            raise ValueError("endpoint_name: it is empty; give the endpoint's name")
        self._wire = get_wire(self.wire)
        if self.family is not None and not get_family(self.family).stop and not self._wire.capabilities.takes_roles:
            raise ValueError(f"family: {self.family!r} lays nothing out, and the {self.wire} wire takes text only")
        if self.tokenizer is not None:
            self.custom_get_token_ids = load_tokenizer(str(self.tokenizer), self.endpoint_name)
        carried = {"max_length": None} if self.custom_get_token_ids is not None else {}
        self._wire.encode_parameters(self._parameters(None, {}).updated(carried), self.on_unsupported)
        if self.client is None:
            self.client, self._own_client = self._new_client(), True
        elif getattr(getattr(self.client, "meta", None), "service_model", None) is None:
            raise ValueError("client: give boto3.client('sagemaker-runtime')")
        watch(self.client)
        return self

    def with_fields(self, **changes: Any) -> Self:
        """As for every text model; the client is made anew, unless it was given."""
        return super().with_fields(**({"client": None} if self._own_client else {}), **changes)

    @property
    def capabilities(self) -> Capabilities:
        """Those of the wire."""
        return self._wire.capabilities

    @property
    def display_name(self) -> str:
        """The endpoint's name."""
        return self.endpoint_name

    @property
    def _llm_type(self) -> str:
        return "sagechain-sagemaker"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        where = {
            "endpoint_name": self.endpoint_name,
            "inference_component_name": self.inference_component_name,
            "variant_name": self.variant_name,
            "endpoint_url": self.client.meta.endpoint_url,
            "wire": self.wire,
            "endpoint_kwargs": self.endpoint_kwargs,
        }
        return {**super()._identifying_params, **where}

    def _start_generation(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        output_format: OutputFormat | None = None,
    ) -> RunningGeneration:
        joined = self.streaming and not stream and (parameters.num_return_sequences or 1) == 1
        stream = (stream or joined) and self._wire.streams
        body = self._wire.request(
            prompt, parameters, stream=stream, output_format=output_format, on_unsupported=self.on_unsupported
        )
        request = {
            "EndpointName": self.endpoint_name,
            "ContentType": "application/json",
            "Accept": "application/json",
            "Body": json.dumps(body).encode(),
            **({"InferenceComponentName": self.inference_component_name} if self.inference_component_name else {}),
            **({"TargetVariant": self.variant_name} if self.variant_name else {}),
            **(self.endpoint_kwargs or {}),
            **self._attributes(),
        }
        return EndpointCall(
            self.client,
            request,
            self._wire,
            answers=parameters.num_return_sequences or 1,
            timeout=self.timeout,
            max_retries=self.max_retries,
            stream=stream,
            joined=joined and stream,
        )

    def _attributes(self) -> dict[str, str]:
        given = (self.endpoint_kwargs or {}).get("CustomAttributes")
        attributes = [*(["accept_eula=true"] if self.accept_eula else []), *([given] if given else [])]
        return {"CustomAttributes": ",".join(attributes)} if attributes else {}

    @property
    def context_size(self) -> int | None:
        """`context`, or the family's."""
        return self.context or (get_family(self.family).context if self.family else None)

    def text_tokens(self, text: str) -> int | None:
        """How many tokens a text has, where the tokenizer is known here, without those that begin a prompt."""
        ids = self.custom_get_token_ids
        return None if ids is None else len(ids(text)) - len(ids(""))

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int | None:
        """How many tokens the server will read, where the tokenizer and the server's layout are known here."""
        text = None if self.custom_get_token_ids is None else self._wire.rendered_prompt(prompt, output_format)
        return None if text is None or self.custom_get_token_ids is None else len(self.custom_get_token_ids(text))

    def _resolve_length_limits(
        self, prompt: Prompt, parameters: GenerationParameters, output_format: OutputFormat | None = None
    ) -> GenerationParameters:
        room, asked = self.context_size, self.prompt_tokens(prompt, output_format)
        if room is not None and asked is not None and asked > room:
            raise prompt_too_long(asked, room, self._length_advice)
        return (
            parameters
            if "max_length" in self._wire.parameter_names
            else super()._resolve_length_limits(prompt, parameters, output_format)
        )

    def _new_client(self) -> Any:
        config = Config(
            read_timeout=self.timeout,
            connect_timeout=min(CONNECT_TIMEOUT, self.timeout),
            retries={"total_max_attempts": 1},
            max_pool_connections=self.max_concurrency,
            user_agent=_user_agent(),
        )
        try:
            return _session(self.__dict__).client(
                "sagemaker-runtime",
                endpoint_url=self.endpoint_url,
                config=config.merge(self.config) if self.config else config,
            )
        except botocore.exceptions.NoRegionError as error:
            raise ValueError("region_name: none is set; give region_name, ?region=… or AWS_DEFAULT_REGION") from error
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise ValueError(f"no client for SageMaker's runtime: {error}") from error


def _session(values: Mapping[str, Any]) -> boto3.Session:
    """boto3's own session, with what the fields of a `SageMakerLLM` say of it."""
    secrets = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        if (value := values.get(name)) is not None
    }
    client = values.get("client")
    region = values.get("region_name") or getattr(getattr(client, "meta", None), "region_name", None)
    return boto3.Session(profile_name=values.get("credentials_profile_name"), region_name=region, **secrets)


@cache
def _user_agent() -> str:
    """A text that is made once: botocore 1.44 builds its own twice a call, an eighth of all the time that a call takes."""
    return " ".join(f"{name}/{version(name)}" for name in ("sagechain", "boto3", "botocore"))


def _tagged(values: Mapping[str, Any]) -> Mapping[str, str]:
    """What the endpoint's own tags say of its family and wire."""
    name = values.get("endpoint_name")
    if not name:
        return {}  # refused later
    try:
        session = _session(values)
    except botocore.exceptions.BotoCoreError as error:
        raise ValueError(f"no session with AWS: {error}. {ADD_THEM}") from error
    return family_and_wire(str(name), session)


def _wire_name(values: Mapping[str, Any]) -> str:
    handler = values.get("content_handler")
    if handler is not None and not isinstance(handler, WireContentHandler):
        raise ValueError(
            "content_handler: SageMakerLLM speaks through a wire; give wire=… or one of sagechain's content handlers, "
            "or use langchain_aws.SagemakerEndpoint with your own"
        )
    if values.get("wire"):
        return str(values["wire"])
    if handler is not None:
        return handler.wire.name
    if values.get("family") is None:
        raise ValueError(f"family: neither family nor wire is given. {ADD_THEM}")
    return DEFAULT_WIRES[get_family(values["family"]).name]
