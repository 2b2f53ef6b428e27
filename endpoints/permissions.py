"""Try, before anything is created, the permissions that deleting a deployment will need.

A role that may create but not delete would leave an endpoint that bills. Each permission is tried by a request that can
change nothing: a read, or the deletion of a name that does not exist, since it ends in this deployment's random identity.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sagechain.llms.errors import AccessDenied, LLMError, NameTaken, NotPermitted

from . import upload
from .aws import Account
from .plan import Plan
from .resources import LABELS, resources_of

IDENTITY_CHARACTERS = 8
NAME_CHARACTERS = 63 - 1 - IDENTITY_CHARACTERS  # SageMaker's names have 63 at most


def try_permissions(account: Account, plan: Plan, archive: str, *, is_kept: bool) -> None:
    """Raise an error unless this role may delete what the plan creates, and its names are free.

    Args:
        archive: the S3 address of its upload; empty: there is none.
        is_kept: whether the endpoint remains when this process ends, so that its tags will have to be read.

    Raises:
        NameTaken: a resource with the plan's name exists.
        NotPermitted: a permission is missing; the message names it.
    """
    for resource in resources_of(plan.name):
        describe = partial(account.send, plan.name, f"describe_{resource.kind}", **resource.parameters)
        if _try(plan.name, f"sagemaker:Describe{resource.api_name}", describe):
            raise NameTaken(plan.name, f"the {LABELS[resource.kind]} {resource.name} exists. Nothing was created.")
    for action, request in _later_requests(account, plan, is_kept=is_kept):
        _try(plan.name, action, request)
    if archive:
        try_upload_permissions(account, plan.name, archive, is_kept=is_kept)


def try_upload_permissions(account: Account, name: str, archive: str, *, is_kept: bool) -> None:
    """Raise an error unless this role may delete an upload. While there is no bucket, S3 refuses no request to it."""
    for action, request in upload.removal_requests(account, archive).items():
        if is_kept or action != "s3:GetObject":
            _try(name, action, partial(_s3_request, account, name, request))
    _try(name, "sagemaker:ListModels", partial(account.send, name, "list_models", MaxResults=1))


def _later_requests(account: Account, plan: Plan, *, is_kept: bool) -> Iterator[tuple[str, Callable[[], Any]]]:
    absent = f"{plan.name[:NAME_CHARACTERS]}-{plan.identity[:IDENTITY_CHARACTERS]}"
    for resource in resources_of(absent):
        request = partial(account.send, plan.name, f"delete_{resource.kind}", **resource.parameters)
        yield f"On names that start with {plan.name[:NAME_CHARACTERS]}, sagemaker:Delete{resource.api_name}", request
    if is_kept:
        partition = account.caller.split(":")[1]
        arn = f"arn:{partition}:sagemaker:{account.region}:{account.number}:endpoint/{absent.lower()}"
        yield "sagemaker:ListTags", partial(account.tags, plan.name, arn)


def _s3_request(account: Account, name: str, request: Callable[[], Any]) -> None:
    try:
        request()
    except Exception as error:
        mapped = account.as_error(name, error)
        if upload.is_refused(error) and isinstance(mapped, LLMError):
            raise NotPermitted(name, mapped.message) from error
        raise mapped from error


def _try(name: str, action: str, request: Callable[[], Any]) -> Any:
    """The response to a request; None if it fails in any other way than for a missing permission.

    Such a failure does not show that it is missing; if it lasts, creating fails too.
    """
    try:
        return request()
    except NotPermitted as error:
        raise NotPermitted(name, f"{error.message} {action} is needed later. Nothing was created.") from error
    except AccessDenied:  # refused in other words, or the credentials have expired
        raise
    except LLMError:
        return None
