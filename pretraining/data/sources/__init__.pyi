from .reader import SourceReader as SourceReader
from .source import Source as Source
from .source import open_source as open_source
