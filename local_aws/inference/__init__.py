"""SageMaker's runtime on this machine: endpoints and the containers behind them."""
