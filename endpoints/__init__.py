"""Endpoints: the local SageMaker runtime, which speaks AWS's paths and framing with a real model behind it.

with LocalRuntime({"my-falcon": {"model": "local:smollm2", "family": "falcon"}}) as runtime:
    os.environ["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] = runtime.url
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
