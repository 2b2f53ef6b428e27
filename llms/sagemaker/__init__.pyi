from .aws_errors import as_llm_error as as_llm_error
from .client import create_client as create_client
from .client import find_session as find_session
from .endpoint_tags import FAMILY_TAG as FAMILY_TAG
from .endpoint_tags import TOOL_TAG as TOOL_TAG
from .endpoint_tags import WIRE_TAG as WIRE_TAG
from .endpoint_tags import read_tags as read_tags
from .names import check_name as check_name
