"""What `sagechain ask` sends and returns: files, prompts of the user's own, tools, schemas, the answer and its figures."""
