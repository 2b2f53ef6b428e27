"""SageMaker's runtime: endpoints that answer requests, and the containers behind them."""
