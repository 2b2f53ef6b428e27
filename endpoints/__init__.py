"""SageMaker endpoints: deploy a model, list endpoints with their cost, delete them.

    with deployed("parrot", model_data="./parrot/model") as endpoint:
        llm = load_llm(endpoint.uri)

`AWS_ENDPOINT_URL` points all of it at `sagechain.local_aws` instead of AWS.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
