from .codeparrot_completion import CandidatesOption as CandidatesOption
from .codeparrot_completion import UntilOption as UntilOption
from .default_parameters import suited as suited
