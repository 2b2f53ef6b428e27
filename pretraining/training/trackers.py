"""The trackers that a run can report to, which are the Trainer's own."""

from ..errors import unknown_name

# The packages of trackers that are named differently.
PACKAGES = {"azure_ml": "azureml-mlflow", "comet_ml": "comet-ml"}


def check_trackers(report_to: str | list[str]) -> None:
    """Raise ValueError for a tracker that is unknown or not installed."""
    names = [report_to] if isinstance(report_to, str) else report_to
    if not {*names} - {"none", "all"}:
        return
    from transformers.integrations import integration_utils

    known = integration_utils.INTEGRATION_TO_CALLBACK
    installed = integration_utils.get_available_reporting_integrations()  # type: ignore[no-untyped-call]
    for name in names:
        if name not in known:
            raise unknown_name("report_to", name, [*known, "all", "none"])
        if name not in installed:
            raise ValueError(
                f"report_to: {name} is not installed. Run `pip install {PACKAGES.get(name, name)}`, or leave it out."
            )
