"""The errors of AWS's services, before each is put into the form of its service's protocol."""


class AwsError(Exception):
    """AWS refuses a request.

    Args:
        code: AWS's name of the error, e.g. `ValidationException`.
        message: for the user.
        status: of the HTTP response.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code, message, status)
        self.code, self.message, self.status = code, message, status


def validation_error(message: str) -> AwsError:
    """SageMaker's error for a request that is well-formed and cannot be carried out."""
    return AwsError("ValidationException", message)
