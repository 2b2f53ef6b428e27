from .aws_errors import failure as failure
from .endpoint_tags import FAMILY as FAMILY
from .endpoint_tags import TOOL as TOOL
from .endpoint_tags import WIRE as WIRE
from .endpoint_tags import tags_of as tags_of
