from .corpus_settings import CorpusSettings as CorpusSettings
from .executors import Executor as Executor
