from .llm import CARRIES as CARRIES
