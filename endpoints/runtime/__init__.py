"""The local SageMaker runtime: `local.py` starts it, `server.py` speaks HTTP, `containers/` answers."""
