"""SageMaker's control plane, and the containers of the endpoints that are deployed."""
