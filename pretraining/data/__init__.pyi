from .corpus import CorpusSettings as CorpusSettings
from .executors import Executor as Executor
