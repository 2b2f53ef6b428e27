"""SageMaker's control plane on this machine."""
