"""The chain-of-thought family: `chain.py` runs a strategy, `strategies.py` holds them, `asking.py` asks the model."""
