from .aws_errors import as_llm_error as as_llm_error
from .endpoint_tags import FAMILY_TAG as FAMILY_TAG
from .endpoint_tags import TOOL_TAG as TOOL_TAG
from .endpoint_tags import WIRE_TAG as WIRE_TAG
from .endpoint_tags import read_tags as read_tags
