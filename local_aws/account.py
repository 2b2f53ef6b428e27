"""The one account of the local runtime: its number, its user, and the ARNs of its resources."""

ACCOUNT = "000000000000"
DEFAULT_REGION = "us-east-1"  # of a request that is not signed, and of what exists from the start
USER = f"arn:aws:iam::{ACCOUNT}:user/local"


def sagemaker_arn(kind: str, name: str, region: str) -> str:
    """The ARN of a `model`, an `endpoint-config` or an `endpoint`."""
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind}/{name}"
