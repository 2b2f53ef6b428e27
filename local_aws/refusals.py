"""What an AWS service refuses, before it is put into the form of that service's protocol."""


class Refused(Exception):
    """A request is not carried out.

    Args:
        code: AWS's name of the error, e.g. `ValidationException`.
        message: what it says.
        status: of the HTTP reply.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message, status)
        self.code, self.message, self.status = code, message, status


def invalid(message: str) -> Refused:
    """SageMaker's refusal of what is well-formed and cannot be done."""
    return Refused("ValidationException", message)
