"""Text models and chat models by URI.

| URI | model |
|---|---|
| `sagemaker:ENDPOINT` | an endpoint on SageMaker |
| `local:smollm2` | the embedded model, in llama.cpp |
| `local:FILE.gguf` | a GGUF file, in llama.cpp; with `?engine=transformers` in transformers, which converts it once |
| `local:FOLDER` | a Hugging Face checkpoint, in transformers |

Settings follow as a query: `sagemaker:my-falcon?family=falcon&region=eu-west-1`. Endpoints have `family`, `wire`, `region`,
`component`, `variant`, on the `messages` wire `model` (its name on the server), and, to count tokens before a request,
`context` and `tokenizer`; local models have `engine`, `family`, `context` and, in llama.cpp, `slots`.

Settings may be keywords too. An endpoint object of the sagemaker SDK can replace the URI:
`load_llm(endpoint, family="falcon", temperature=0.2)`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import parse_qsl, unquote

from sagechain.prompts import check_known, unknown_name

from .default_model import default_model
from .errors import MissingExtra
from .keywords import ChatModelKeywords, EndpointKeywords, LangChainKeywords, ModelKeywords, UriKeywords, names
from .parameters import with_one_name
from .sagemaker.sdk_endpoint import SDKEndpoint, uri_of

if TYPE_CHECKING:
    from .chat.model import PromptedChatModel
    from .model_defaults import ModelDefaults
    from .text_model import TextModel

ENGINES = {"llama.cpp": ("family", "context", "slots"), "transformers": ("family", "context")}
"""The engines of local models, and the settings of each."""
ENDPOINT_FIELDS = {
    "family": "family",
    "wire": "wire",
    "region": "region_name",
    "component": "inference_component_name",
    "variant": "variant_name",
    "model": "model",
    "context": "context",
    "tokenizer": "tokenizer",
}
"""The settings of an endpoint, and the fields of `SageMakerLLM` for them."""
SCHEMES = ("local:", "sagemaker:")
CHAT_PARAMETERS = (
    *(name for name in names(LangChainKeywords) if name != "custom_get_token_ids"),
    *(name for name in names(ChatModelKeywords) if name not in names(ModelKeywords)),
    "streaming",
)
"""Keywords of a chat model itself; its LLM gets the others."""


def load_llm(model: "str | SDKEndpoint | None" = None, /, **parameters: Unpack[ModelKeywords]) -> "TextModel":
    """The text model at `model`: text in, text out. The prompt is sent as it is, and no stop string is added.

    Args:
        model: a URI, or an endpoint of the sagemaker SDK; see above. Default: the environment variable `SAGECHAIN_MODEL`,
            else `local:smollm2`.
        parameters: the fields of `GenerationParameters` (`max_tokens` is `max_new_tokens`); `timeout` (seconds),
            `max_retries`, `max_concurrency`; `callbacks`, `tags` and the others of every LangChain model; those of an
            endpoint, which local models ignore (`accept_eula`, `client`, `tokenizer`, `region_name`,
            `credentials_profile_name`, `endpoint_kwargs` …); and the settings of a URI.

    Raises:
        ValueError: a scheme, name, setting or parameter that is unknown or out of range; an object that is not an endpoint.
        LLMError: the model could not be downloaded or loaded.
    """
    check_known("parameter", parameters, names(ModelKeywords))
    given = {name: value for name, value in with_one_name(parameters).items() if value is not None}
    scheme, place, settings = _parse(_uri(model, given))
    keywords = {name: given.pop(name) for name in names(UriKeywords) if name in given}
    if scheme == "sagemaker":
        return _endpoint(place, settings, keywords, given)
    keywords.pop("tokenizer", None)
    fields = {name: value for name, value in given.items() if name not in names(EndpointKeywords)}
    return _local_model(place, _united(settings, keywords), fields)


def load_chat_model(
    model: "str | SDKEndpoint | None" = None, /, **parameters: Unpack[ChatModelKeywords]
) -> "PromptedChatModel":
    """The chat model at `model`: the family's layout and stop strings are applied here.

    Arguments and errors as for `load_llm`; the chat model also has `streaming`, `rate_limiter` and `disable_streaming`.
    A model of the catalogue (`local:NAME`) has the defaults of its entry: a system text for requests without one, and
    parameters; what is given replaces them.
    """
    from .chat.model import PromptedChatModel

    check_known("parameter", parameters, names(ChatModelKeywords))
    given: dict[str, Any] = dict(parameters)
    chat = {name: given.pop(name) for name in CHAT_PARAMETERS if name in given}
    chat = {name: value for name, value in chat.items() if value is not None}
    uri = _uri(model, given)
    return PromptedChatModel(llm=load_llm(uri if model is None else model, **given), defaults=_defaults(uri), **chat)


def _defaults(uri: str) -> "ModelDefaults | None":
    """The defaults of a model of the catalogue."""
    from .local.downloads import embedded_models
    from .model_defaults import ModelDefaults

    scheme, place, _ = _parse(uri)
    entry = embedded_models().get(place) if scheme == "local" else None
    return ModelDefaults(**entry.defaults) if entry and entry.defaults else None


def _uri(model: "str | SDKEndpoint | None", keywords: Mapping[str, Any]) -> str:
    """The URI of what was given; of the default model for nothing. Raises ValueError on a URI as the keyword `model`."""
    if model is None:
        if isinstance(name := keywords.get("model"), str) and name.startswith(SCHEMES):
            raise ValueError(f"model: the URI is the first argument, without a keyword: load_chat_model({name!r})")
        return default_model()
    return model if isinstance(model, str) else uri_of(model)


def _united(settings: Mapping[str, Any], keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a URI, and those that are keywords. Raises ValueError on one that is given twice and differs."""
    for name, value in keywords.items():
        if name in settings and str(value) != str(settings[name]):
            raise ValueError(f"{name}: {settings[name]!r} in the URI and {value!r} as a keyword; give one of them")
    return {**keywords, **settings}


def _parse(uri: str) -> tuple[str, str, dict[str, str]]:
    """Scheme, place and settings of a URI."""
    scheme, colon, rest = uri.partition(":")
    if not colon or f"{scheme}:" not in SCHEMES:
        raise unknown_name("model", uri, ("local:smollm2", "local:FILE.gguf", "local:FOLDER", "sagemaker:ENDPOINT"))
    place, _, query = rest.partition("?")
    if not place:
        raise ValueError(f"model: {uri!r} names no {'endpoint' if scheme == 'sagemaker' else 'file'} after {scheme}:")
    return scheme, unquote(place), dict(parse_qsl(query, keep_blank_values=True))


def _endpoint(
    name: str, settings: Mapping[str, str], keywords: Mapping[str, Any], parameters: Mapping[str, Any]
) -> "TextModel":
    from .sagemaker.llm import SageMakerLLM

    check_known("setting", [*settings, *keywords], ENDPOINT_FIELDS)
    fields = {ENDPOINT_FIELDS[setting]: value for setting, value in _united(settings, keywords).items()}
    return SageMakerLLM(endpoint_name=name, **_united(fields, parameters))


def _local_model(place: str, settings: dict[str, str], parameters: dict[str, Any]) -> "TextModel":
    from .local.downloads import embedded_models, pull

    check_known("setting", settings, ("engine", *ENGINES["llama.cpp"]))
    path, is_embedded = Path(place).expanduser(), place in embedded_models()
    is_folder = path.is_dir() and not is_embedded
    engine = settings.pop("engine", "transformers" if is_folder else "llama.cpp")
    check_known("engine", [engine], ENGINES)
    check_known(f"setting of {engine}", settings, ("engine", *ENGINES[engine]))
    if not is_embedded and not path.exists():
        raise ValueError(
            f"model: the file {place!r} does not exist. Embedded models: {', '.join(sorted(embedded_models()))}"
        )
    if engine == "llama.cpp" and is_folder:
        raise ValueError(f"engine: llama.cpp reads GGUF files, and {place!r} is a folder; leave ?engine=… out")
    fields = {"path": pull(place) if is_embedded else path, **settings, **parameters}
    if engine == "llama.cpp":
        from .local.llama_cpp.llm import LlamaCppLLM

        return LlamaCppLLM(**fields)
    try:
        from .local.transformers.llm import HuggingFaceLLM
    except ModuleNotFoundError as error:
        raise MissingExtra(f"local:{place}", "transformers") from error
    return HuggingFaceLLM(**fields)
