"""Models by URI: one line names the place, everything else stays as it is.

sagemaker:ENDPOINT?family=…&wire=…&region=…&component=…&variant=…    an endpoint on SageMaker
                  &context=…&tokenizer=…                               what its model takes, to count before a request
local:smollm2                                                          the embedded model
local:FILE.gguf?family=…&context=…&slots=…                             a GGUF file, in llama.cpp
local:FOLDER?family=…&context=…                                        a Hugging Face checkpoint, in transformers
local:FILE.gguf?engine=transformers                                    there too, converted at the first load

An endpoint that the sagemaker SDK deployed is given as its own object, which says name and region; what stands behind `?`
in a URI is a keyword then: `load_llm(endpoint, family="falcon", temperature=0.2)`.
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

EVERYWHERE = ("timeout", "max_retries")
"""Settings besides the inference parameters, that every model has."""
ENGINES = {"llama.cpp": ("family", "context", "slots"), "transformers": ("family", "context")}
"""What runs a model on this machine, and the settings that a URI may give it."""
ENDPOINTS_ONLY = ("accept_eula", "client")
"""Settings that every URI accepts, and that mean nothing on this machine."""
ENDPOINT_FIELDS = {
    "family": "family",
    "wire": "wire",
    "region": "region_name",
    "component": "inference_component_name",
    "variant": "variant_name",
    "context": "context",
    "tokenizer": "tokenizer",
}
"""The settings that an endpoint's URI may give, and the fields of `SageMakerLLM` that they fill."""
KEYWORDS = tuple(setting for setting in ENDPOINT_FIELDS if setting != "region")
"""Those that stand beside an endpoint of the SDK, whose ARN tells the region."""


def load_llm(model: str | SDKEndpoint, /, **parameters: Any) -> "TextModel":
    """The text model at `model`: text in, text out; the prompt goes as it is and no stop string is added.

    Args:
        model: where it is: a URI, or an endpoint of the sagemaker SDK; see above.
        parameters: the fields of `GenerationParameters`, and `timeout` (seconds), `max_retries`, `accept_eula`, `client`;
            beside an endpoint of the SDK also `family`, `wire`, `component`, `variant`, `context`, `tokenizer`.

    Raises:
        ValueError: a scheme, name, setting or parameter that is unknown or out of range; an object that is no endpoint.
        LLMError: the model could not be fetched or loaded.
    """
    known = (*PARAMETER_NAMES, *EVERYWHERE, *ENDPOINTS_ONLY)
    check_known("parameter", parameters, known if isinstance(model, str) else (*known, *KEYWORDS))
    if not isinstance(model, str):
        model = uri_of(model, {name: parameters.pop(name) for name in KEYWORDS if name in parameters})
    scheme, place, settings = _parts(model)
    if scheme == "sagemaker":
        return _endpoint(place, settings, parameters)
    return _local(place, settings, {name: v for name, v in parameters.items() if name not in ENDPOINTS_ONLY})


def load_chat_model(model: str | SDKEndpoint, /, **parameters: Any) -> BaseChatModel:
    """The chat model at `model`: the family's layout and stop strings are applied here.

    Arguments and errors as for `load_llm`.
    """
    from .chat.model import PromptedChatModel

    return PromptedChatModel(llm=load_llm(model, **parameters))


def _parts(uri: str) -> tuple[str, str, dict[str, str]]:
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
    given = {ENDPOINT_FIELDS[setting]: value for setting, value in settings.items()}
    return SageMakerLLM(endpoint_name=name, **given, **{k: v for k, v in parameters.items() if v is not None})


def _local(place: str, settings: dict[str, str], parameters: dict[str, Any]) -> "TextModel":
    from .local.downloads import embedded_models, pull

    for setting in settings:
        if setting not in ("engine", *ENGINES["llama.cpp"]):
            raise unknown_name("setting", setting, ("engine", *ENGINES["llama.cpp"]))
    here = Path(place).expanduser()
    is_embedded = place in embedded_models()
    engine = settings.pop("engine", "transformers" if here.is_dir() and not is_embedded else "llama.cpp")
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    for setting in settings:
        if setting not in ENGINES[engine]:
            raise unknown_name(f"setting of {engine}", setting, ("engine", *ENGINES[engine]))
    if not is_embedded and not here.exists():
        raise ValueError(f"model: there is no file {place!r}. Embedded models: {', '.join(sorted(embedded_models()))}")
    if engine == "llama.cpp" and here.is_dir() and not is_embedded:
        raise ValueError(f"engine: llama.cpp reads GGUF files, and {place!r} is a folder; leave ?engine=… out")
    fields = {
        "path": pull(place) if is_embedded else here,
        **settings,
        **{name: value for name, value in parameters.items() if value is not None},
    }
    if engine == "llama.cpp":
        from .local.llama_cpp.llm import LlamaCppLLM

        return LlamaCppLLM(**fields)
    try:
        from .local.transformers.llm import HuggingFaceLLM
    except ModuleNotFoundError as error:
        raise MissingExtra(f"local:{place}", "transformers") from error
    return HuggingFaceLLM(**fields)
