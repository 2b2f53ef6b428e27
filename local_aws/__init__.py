"""AWS on this machine: SageMaker with real models behind its endpoints, S3 and STS, at one address.

    with LocalRuntime({"my-falcon": {"model": "local:smollm2", "family": "falcon"}}) as runtime:
        os.environ["AWS_ENDPOINT_URL"] = runtime.url

`runtime.py` starts it. A request goes through `gateway.py` to one of `sagemaker/`, `inference/`, `s3/` and `sts.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
