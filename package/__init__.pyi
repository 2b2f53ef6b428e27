from .chains import chain_of_thought as chain_of_thought
from .chains import code_completion as code_completion
from .chains import conversation as conversation
from .endpoints import deploy as deploy
from .endpoints import deployed as deployed
from .llms import GenerationParameters as GenerationParameters
from .llms import load_chat_model as load_chat_model
from .llms import load_llm as load_llm
from .local_aws import LocalRuntime as LocalRuntime

__version__: str
