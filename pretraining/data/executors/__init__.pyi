from .executor import Executor as Executor
from .executor import Progress as Progress
from .slurm import has_noted_jobs as has_noted_jobs
