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

An endpoint object of the sagemaker SDK can replace the URI; the settings other than its name and region are keywords:
`load_llm(endpoint, family="falcon", temperature=0.2)`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from langchain_core.language_models.chat_models import BaseChatModel
from sagechain.prompts import check_known, unknown_name

from .errors import MissingExtra
from .parameters import PARAMETER_NAMES
from .sagemaker.sdk_endpoint import SDKEndpoint, uri_of

if TYPE_CHECKING:
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
SDK_KEYWORDS = tuple(setting for setting in ENDPOINT_FIELDS if setting != "region")
"""The settings that are keywords beside an endpoint of the SDK; its ARN has the region."""
ENDPOINT_PARAMETERS = ("accept_eula", "client")
"""Parameters that every URI accepts, and that have no effect on local models."""
PARAMETERS = (*PARAMETER_NAMES, "timeout", "max_retries", *ENDPOINT_PARAMETERS)


def load_llm(model: str | SDKEndpoint, /, **parameters: Any) -> "TextModel":
    """The text model at `model`: text in, text out. The prompt is sent as it is, and no stop string is added.

    Args:
        model: a URI, or an endpoint of the sagemaker SDK; see above.
        parameters: the fields of `GenerationParameters`, and `timeout` (seconds), `max_retries`, `accept_eula`, `client`;
            beside an endpoint of the SDK also `family`, `wire`, `component`, `variant`, `context`, `tokenizer`.

    Raises:
        ValueError: a scheme, name, setting or parameter that is unknown or out of range; an object that is not an endpoint.
        LLMError: the model could not be downloaded or loaded.
    """
    check_known("parameter", parameters, PARAMETERS if isinstance(model, str) else (*PARAMETERS, *SDK_KEYWORDS))
    if not isinstance(model, str):
        model = uri_of(model, {name: parameters.pop(name) for name in SDK_KEYWORDS if name in parameters})
    scheme, place, settings = _parse(model)
    given = {name: value for name, value in parameters.items() if value is not None}
    if scheme == "sagemaker":
        return _endpoint(place, settings, given)
    return _local_model(place, settings, {name: v for name, v in given.items() if name not in ENDPOINT_PARAMETERS})


def load_chat_model(model: str | SDKEndpoint, /, **parameters: Any) -> BaseChatModel:
    """The chat model at `model`: the family's layout and stop strings are applied here.

    Arguments and errors as for `load_llm`.
    """
    from .chat.model import PromptedChatModel

    return PromptedChatModel(llm=load_llm(model, **parameters))


def _parse(uri: str) -> tuple[str, str, dict[str, str]]:
    """Scheme, place and settings of a URI."""
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme not in ("local", "sagemaker"):
        raise unknown_name("model", uri, ("local:smollm2", "local:FILE.gguf", "local:FOLDER", "sagemaker:ENDPOINT"))
    place, _, query = rest.partition("?")
    if not place:
        raise ValueError(f"model: {uri!r} names no {'endpoint' if scheme == 'sagemaker' else 'file'} after {scheme}:")
    return scheme, unquote(place), dict(parse_qsl(query, keep_blank_values=True))


def _endpoint(name: str, settings: dict[str, str], parameters: dict[str, Any]) -> "TextModel":
    from .sagemaker.llm import SageMakerLLM

    check_known("setting", settings, ENDPOINT_FIELDS)
    fields = {ENDPOINT_FIELDS[setting]: value for setting, value in settings.items()}
    return SageMakerLLM(endpoint_name=name, **fields, **parameters)


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
