"""The account that the local runtime is: its number, its user, and the names that AWS gives to what is in it."""

ACCOUNT = "000000000000"
USER = f"arn:aws:iam::{ACCOUNT}:user/local"


def sagemaker_arn(kind: str, name: str, region: str) -> str:
    """The Amazon resource name of a `model`, an `endpoint-config` or an `endpoint`."""
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind}/{name}"
