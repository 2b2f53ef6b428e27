"""Llama 2, Falcon and any other text model behind a SageMaker endpoint, as a LangChain LLM.

    llm = SageMakerLLM(endpoint_name="my-falcon", family="falcon", temperature=0.2)
    llm.invoke("User: Hi\\nAssistant:")

Credentials, region and server address come from boto3's default session, so one program runs against AWS and against the
local runtime (`AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler, SagemakerEndpoint
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator
from sagechain.prompts import OutputFormat, check_known, get_family

from ..capabilities import Capabilities
from ..generation import Prompt, RunningGeneration
from ..keywords import SageMakerKeywords
from ..parameters import PARAMETER_NAMES, GenerationParameters, with_one_name
from ..text_model import TextModel
from ..token_counting import load_tokenizer, prompt_too_long
from ..wires import DEFAULT_WIRES, Wire, get_wire
from ..wires.base import OnUnsupported
from .client import CLIENT_SETTINGS, CREDENTIALS, make_client, session_of
from .content_handlers import WireContentHandler
from .endpoint_tags import ADD_TO_URI, family_and_wire
from .invocation import EndpointInvocation
from .names import check_name, name_and_region
from .transport import prepare


class SageMakerLLM(TextModel, SagemakerEndpoint):
    """A SageMaker endpoint as a LangChain LLM.

    Give `family`, or `wire`, or one of sagechain's content handlers; without any, they are read from the endpoint's tags,
    which sagechain writes when it deploys. Inference parameters are fields; langchain-aws's `model_kwargs` is accepted too,
    and validated in the same way. With the model's own tokenizer (`tokenizer`, or `custom_get_token_ids`: text → token ids)
    tokens are counted before a request: for `max_length` on wires that do not carry it, for prompts that do not fit into
    the context, and for the history of a conversation.

    Raises:
        ValueError: a field that is unknown, of the wrong type or out of range; no wire; no region.
        LLMError: the tags are needed, and cannot be read.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # the input may contain keys

    wire: str = ""
    """The request and reply format of the endpoint's container; by default the family's usual one."""
    content_handler: LLMContentHandler = Field(default=None)  # type: ignore[assignment]  # derived from the wire
    accept_eula: bool = False
    """Whether you accept the model's licence, where one has to be accepted (Llama 2)."""
    model: str | None = None
    """The model's name on the server, in every request of the `messages` wire; some servers demand it."""
    variant_name: str | None = None
    """The production variant that gets the requests, where the endpoint has several."""
    context: int | None = Field(default=None, ge=1)
    """The endpoint's limit of tokens of prompt and answer together; by default the family's."""
    tokenizer: str | Path | None = None
    """The model's `tokenizer.json`, a folder that contains it, or the model's name on the Hugging Face hub."""
    on_unsupported: OnUnsupported = "error"
    """What happens with a parameter that the wire does not carry: a ValueError, or dropped with a warning."""

    # langchain-aws fills these from the environment; here boto3 finds credentials, unless these are given.
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None

    if TYPE_CHECKING:

        def __init__(self, *, endpoint_name: str, **keywords: Unpack[SageMakerKeywords]) -> None: ...

    _wire: Wire = PrivateAttr()
    _owns_client: bool = PrivateAttr(default=False)

    @model_validator(mode="before")
    @classmethod
    def _resolve_fields(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = with_one_name(values)
        check_known("parameter", values, cls.model_fields)
        model_kwargs = values.pop("model_kwargs", None) or {}
        if not isinstance(model_kwargs, Mapping):
            raise ValueError(f"model_kwargs: {type(model_kwargs).__name__} is not a mapping of parameters to values")
        model_kwargs = with_one_name(model_kwargs)
        check_known("model_kwargs", model_kwargs, PARAMETER_NAMES)
        values = {**model_kwargs, **values, **_place(values)}
        if not any(values.get(name) for name in ("family", "wire", "content_handler")):
            values |= _from_tags(values)
        values["wire"] = _wire_name(values)
        values["content_handler"] = WireContentHandler(values["wire"])
        return values

    @model_validator(mode="after")
    def validate_environment(self) -> Self:
        """Make the client, unless one is given. langchain-aws's own version would not leave the credentials to boto3."""
        self._wire = get_wire(self.wire)
        if self.family is not None and not get_family(self.family).stop and not self._wire.capabilities.takes_roles:
            raise ValueError(f"family: {self.family!r} has no text layout, and the {self.wire} wire accepts text only")
        if self.model is not None and not self._wire.carries_model:
            raise ValueError(f"model: the {self.wire} wire does not carry it; leave it out, or use ?wire=messages")
        self._load_tokenizer()
        counted_here = {"max_length": None} if self.custom_get_token_ids is not None else {}
        self._wire.encode_parameters(self._parameters(None, {}).updated(counted_here), self.on_unsupported)
        if self.client is None:
            self._make_client()
        elif getattr(getattr(self.client, "meta", None), "service_model", None) is None:
            raise ValueError("client: give boto3.client('sagemaker-runtime')")
        else:
            prepare(self.client)
        return self

    def _make_client(self) -> None:
        self.client, self._owns_client = make_client(self.__dict__), True
        prepare(self.client)

    def _load_tokenizer(self) -> None:
        if self.tokenizer is not None:
            self.custom_get_token_ids = load_tokenizer(str(self.tokenizer), self.endpoint_name)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A copy makes its own client; a client that was given is shared."""
        memo = {} if memo is None else memo
        memo[id(self.client)] = self.client
        copied = super().__deepcopy__(memo)
        if self._owns_client:
            copied._make_client()
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        """For pickle: without client and tokenizer, which the copy makes again; in the same region.

        Raises:
            ValueError: the model was given a client or keys, which must not be in a pickle.
        """
        given = [] if self._owns_client else ["client"]
        given += [name for name in CREDENTIALS if getattr(self, name) is not None]
        if given:
            raise ValueError(
                f"{given[0]}: a model with a given client or given keys is not pickled. Make it without them, with "
                "credentials_profile_name or with credentials in the environment; or make it in the other process"
            )
        state = super().__getstate__()
        fields = {**state["__dict__"], "client": None, "region_name": self.client.meta.region_name}
        if self.tokenizer is not None:
            fields["custom_get_token_ids"] = None
        return {**state, "__dict__": fields}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._load_tokenizer()
        self._make_client()

    def with_fields(self, **changes: Any) -> Self:
        """As for every text model; with a new client where the change is one of its settings."""
        owns_new_client = self._owns_client and any(
            changes.get(name, old) != old for name, old in self._client_settings
        )
        model = super().with_fields(**({"client": None} if owns_new_client else {}), **changes)
        model._owns_client = self._owns_client and "client" not in changes
        return model

    @property
    def _client_settings(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name, None)) for name in CLIENT_SETTINGS]

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
            "model_on_server": self.model,
            "endpoint_kwargs": self.endpoint_kwargs,
        }
        return {**super()._identifying_params, **where}

    def _start_generation(
        self, prompt: Prompt, parameters: GenerationParameters, output_format: OutputFormat | None, *, stream: bool
    ) -> RunningGeneration:
        answers = parameters.num_return_sequences or 1
        join = self.streaming and not stream and answers == 1 and self._wire.streams
        stream = join or (stream and self._wire.streams)

        def request(stream: bool) -> dict[str, Any]:
            body = self._wire.request(
                prompt,
                parameters,
                stream=stream,
                output_format=output_format,
                on_unsupported=self.on_unsupported,
                model=self.model,
            )
            return self._request(json.dumps(body).encode())

        return EndpointInvocation(
            self.client,
            request,
            self._wire,
            answers=answers,
            timeout=self.timeout,
            max_retries=self.max_retries,
            stream=stream,
            join=join,
        )

    def _request(self, body: bytes) -> dict[str, Any]:
        """The arguments of boto3's `invoke_endpoint`."""
        extra = self.endpoint_kwargs or {}
        eula = "accept_eula=true" if self.accept_eula else None
        attributes = ",".join(filter(None, (eula, extra.get("CustomAttributes"))))
        return {
            "EndpointName": self.endpoint_name,
            "ContentType": "application/json",
            "Accept": "application/json",
            "Body": body,
            **({"InferenceComponentName": self.inference_component_name} if self.inference_component_name else {}),
            **({"TargetVariant": self.variant_name} if self.variant_name else {}),
            **extra,
            **({"CustomAttributes": attributes} if attributes else {}),
        }

    @property
    def context_size(self) -> int | None:
        """`context`, or the family's."""
        return self.context or (get_family(self.family).context if self.family else None)

    def text_tokens(self, text: str) -> int | None:
        """Tokens of a text, without those that begin a prompt; None without a tokenizer."""
        ids = self.custom_get_token_ids
        return None if ids is None else len(ids(text)) - len(ids(""))

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int | None:
        """Tokens that the server will read; None without a tokenizer, or where only the server knows its layout."""
        ids = self.custom_get_token_ids
        text = None if ids is None else self._wire.rendered_prompt(prompt, output_format)
        return None if ids is None or text is None else len(ids(text))

    def _resolve_length_limits(
        self, prompt: Prompt, parameters: GenerationParameters, output_format: OutputFormat | None = None
    ) -> GenerationParameters:
        context, tokens = self.context_size, self.prompt_tokens(prompt, output_format)
        if context is not None and tokens is not None and tokens > context:
            raise prompt_too_long(tokens, context, self._length_advice)
        if "max_length" in self._wire.parameter_names and parameters.max_new_tokens is None:
            return parameters  # the server counts; beside max_new_tokens it would ignore it
        return super()._resolve_length_limits(prompt, parameters, output_format)


def _place(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The endpoint's name and region; the name may be an ARN, which contains both."""
    name, region = name_and_region(str(values.get("endpoint_name") or ""))
    check_name("endpoint_name", name)
    for field in ("inference_component_name", "variant_name"):
        if values.get(field) is not None:
            check_name(field, values[field])
    stated = {
        "the ARN": region,
        "region_name": values.get("region_name"),
        "the client": getattr(getattr(values.get("client"), "meta", None), "region_name", None),
    }
    given = {where: each for where, each in stated.items() if each}
    if len(set(given.values())) > 1:
        raise ValueError(f"region_name: {' and '.join(f'{each!r} of {where}' for where, each in given.items())} differ")
    return {"endpoint_name": name, **({"region_name": region} if region else {})}


def _from_tags(values: Mapping[str, Any]) -> Mapping[str, str]:
    """Family and wire in the endpoint's tags."""
    return family_and_wire(values["endpoint_name"], *session_of(values))


def _wire_name(values: Mapping[str, Any]) -> str:
    handler = values.get("content_handler")
    if handler is not None and not isinstance(handler, WireContentHandler):
        raise ValueError(
            "content_handler: SageMakerLLM uses wires; give wire=… or one of sagechain's content handlers, "
            "or use langchain_aws.SagemakerEndpoint with your own"
        )
    if values.get("wire"):
        return str(values["wire"])
    if handler is not None:
        return handler.wire.name
    if values.get("family") is None:
        raise ValueError(f"family: neither family nor wire is given. {ADD_TO_URI}")
    return DEFAULT_WIRES[get_family(values["family"]).name]
