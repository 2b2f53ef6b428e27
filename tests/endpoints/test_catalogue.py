"""The catalogue: its entries, their consistency, and the error for a model outside it."""

import pytest
from sagechain.endpoints import CatalogueEntry, catalogue
from sagechain.endpoints.jumpstart.images import has_gpu
from sagechain.endpoints.jumpstart.models import catalogue_entry
from sagechain.endpoints.pricing import price_of
from sagechain.llms.wires import get_wire
from sagechain.prompts import get_family

ENTRIES = catalogue()


def test_the_six_models_are_there_with_family_and_wire() -> None:
    assert [(entry.model_id, entry.family, entry.wire) for entry in ENTRIES] == [
        ("meta-textgeneration-llama-2-7b-f", "llama2", "tgi"),
        ("meta-textgeneration-llama-2-13b-f", "llama2", "tgi"),
        ("meta-textgeneration-llama-2-70b-f", "llama2", "tgi"),
        ("huggingface-llm-falcon-7b-instruct-bf16", "falcon", "tgi"),
        ("huggingface-llm-falcon-40b-instruct-bf16", "falcon", "tgi"),
        ("huggingface-llm-falcon-180b-chat-bf16", "falcon180b", "tgi"),
    ]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.model_id)
def test_every_entry_is_complete_and_consistent(entry: CatalogueEntry) -> None:
    assert get_family(entry.family).context == entry.context
    assert get_wire(entry.wire).name == entry.wire
    assert entry.instance_type in entry.instance_types
    assert has_gpu(entry.instance_type)
    assert price_of(entry.instance_type, "us-east-1").usd_per_hour is not None
    assert entry.license
    assert entry.source
    assert entry.dated.year >= 2026


def test_only_llama_2_has_a_licence_to_accept() -> None:
    assert {entry.model_id for entry in ENTRIES if entry.eula} == {
        entry.model_id for entry in ENTRIES if entry.family == "llama2"
    }
    eula = catalogue_entry("meta-textgeneration-llama-2-7b-f").eula
    assert eula == "https://jumpstart-cache-prod-us-east-1.s3.us-east-1.amazonaws.com/fmhMetadata/eula/llamaEula.txt"


def test_manual_corrections_override_generated_facts() -> None:
    small = catalogue_entry("meta-textgeneration-llama-2-7b-f")
    assert (small.instance_type, small.instance_types[0], small.memory_gib) == ("ml.g5.2xlarge", "ml.g5.12xlarge", 12.6)


def test_the_error_for_an_unknown_model_suggests_the_nearest_and_explains_others() -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'meta-textgeneration-llama-2-7b-f'\?") as refused:
        catalogue_entry("meta-textgeneration-llama-2-7b")
    assert "sagechain endpoints catalogue meta-textgeneration-llama-2-7b --jumpstart" in str(refused.value)
