"""`python -m sagechain`: the command, for launchers that start modules, such as torchrun."""

from sagechain.apps.cli import main

main()
