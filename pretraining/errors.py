"""What goes wrong in pretraining once work has begun. Bad input is a `ValueError`, raised before."""


class PretrainingError(Exception):
    """A stage could not go on. The message says what happened, where, and what to do next; what was done before is kept."""


class Diverged(PretrainingError):
    """The loss, or a gradient, is not a number. The last checkpoint is from before."""
