"""What people run: the `sagechain` command and the demo."""
