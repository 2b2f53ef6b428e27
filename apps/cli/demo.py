"""`sagechain demo`: the main job, shown in about a minute."""


def demo() -> None:
    """Show conversations and chain of thought over Llama 2 and Falcon wires, with a real model behind them.

    Example: sagechain demo
    """
    from sagechain.apps.demo import run

    run()
