from .executor import Executor as Executor
from .slurm import has_noted_jobs as has_noted_jobs
