"""Checkpoint folders and GGUF files for transformers: what loads, what is refused, and how messages become a prompt."""

import gc
import json
import shutil
import threading
import weakref
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_huggingface import HuggingFacePipeline
from sagechain.llms import HuggingFaceLLM, errors, load_chat_model, load_llm

from tests import processes
from tests.llms.checkpoints import PROMPT, changed_copy, load_exactly, text


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_without_a_file_of_the_checkpoint_is_refused(gpt2: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "broken")
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"'{folder}' is not a checkpoint: {name} .*is missing"):
        load_llm(f"local:{folder}")


def test_a_missing_part_of_the_weights_is_named(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "parts")
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"model-00001-of-00002\.safetensors is missing"):
        load_llm(f"local:{folder}")


@pytest.mark.parametrize(
    "index", ["{", "[1]", "null", '{"metadata": {}}', '{"weight_map": {"a": 5}}', '{"weight_map": [1]}']
)
def test_a_broken_index_of_weights_is_named(tmp_path: Path, index: str) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json' (is not an index of weights|names files)"):
        load_llm(f"local:{tmp_path}")


def test_missing_weights_are_not_filled_with_random_numbers(gpt2: Path, tmp_path: Path) -> None:
    folder = changed_copy(gpt2, tmp_path / "more", config={"n_layer": 3})
    with pytest.raises(errors.ModelNotLoaded, match=r"weights are missing, transformer\.h\.2"):
        load_llm(f"local:{folder}")


def test_a_broken_checkpoint_is_not_loaded(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(errors.ModelNotLoaded, match="transformers cannot load"):
        load_llm(f"local:{folder}")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?engine=llama.cpp", "engine: llama.cpp reads GGUF files, and .* is a folder"),
        ("?engine=transformer", "Did you mean 'transformers'"),
        ("?slots=2", "setting of transformers: 'slots' is unknown"),
        ("?contxt=2", "Did you mean 'context'"),
        ("?context=129", "context: 129 is more than the model's 128 tokens"),
        ("?context=0", "context"),
        ("?family=nobody", "nobody"),
    ],
)
def test_an_invalid_setting_is_refused(gpt2: Path, tiny: HuggingFaceLLM, query: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_llm(f"local:{gpt2}{query}")


def test_the_context_may_be_shorter_than_the_models(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    llm = load_llm(f"local:{gpt2}?context=32")
    assert llm.context_size == 32
    message = r"1 more than the context of 32; shorten it, or load the model with \?context=…"
    with pytest.raises(ValueError, match=message):
        llm.invoke("a" * 33)


def test_langchains_own_fields_work_or_are_refused(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    llm = HuggingFaceLLM(model_id=str(gpt2), pipeline_kwargs={"max_new_tokens": 4})  # type: ignore[call-arg]
    assert llm.invoke(PROMPT) == text(tiny, max_new_tokens=4)
    with pytest.raises(ValueError, match="model_kwargs: the weights are loaded from `path`"):
        HuggingFaceLLM(path=gpt2, model_kwargs={"dtype": "auto"})
    with pytest.raises(ValueError, match="pipeline_kwargs: 'max_tokens' is unknown"):
        HuggingFaceLLM(path=gpt2, pipeline_kwargs={"max_tokens": 4})


def test_models_over_one_folder_share_the_weights_until_its_files_change(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "shared")
    one, other = load_exactly(folder), load_exactly(folder)
    assert one.pipeline.model is other.pipeline.model is one.with_fields(temperature=0.5).pipeline.model
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 1]}))
    assert load_exactly(folder).pipeline.model is not one.pipeline.model


def test_two_threads_load_the_weights_once(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "twice")
    models: list[HuggingFaceLLM] = []
    threads = [threading.Thread(target=lambda: models.append(HuggingFaceLLM(path=folder))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(model.pipeline.model) for model in models}) == 1


def test_the_weights_are_freed_with_the_last_model(gpt2: Path, tmp_path: Path) -> None:
    llm = load_exactly(shutil.copytree(gpt2, tmp_path / "freed"))
    weights = weakref.ref(llm.pipeline.model)
    llm.invoke(PROMPT, max_new_tokens=1)
    for thread in threading.enumerate():
        if thread.name == "sagechain-generation":
            thread.join()
    del llm
    gc.collect()
    assert weights() is None


def test_langchains_cache_distinguishes_settings_that_change_an_answer(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    models = [
        tiny,
        tiny.with_fields(temperature=0.5),
        tiny.with_fields(likelihood=True),
        load_llm(f"local:{gpt2}?context=64"),
    ]
    assert len({str(model.asdict()) for model in models}) == 4


def test_without_the_extra_the_error_names_it(gpt2: Path) -> None:
    script = f"""
import sys
from sagechain.llms import errors, load_llm
for absent in ("langchain_huggingface", "transformers", "torch"):
    sys.modules[absent] = None
    try:
        load_llm("local:{gpt2}")
    except errors.MissingExtra as error:
        print(error)
    del sys.modules[absent]
"""
    done = processes.run("-c", script, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    expected = f"local:{gpt2}: this needs the extra `transformers`, which is not installed. Run: "
    assert all(line.startswith(expected) and line.endswith('[transformers]"') for line in lines)


# Messages

TEMPLATE = "<|endoftext|>{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"


def with_template(checkpoint: Path, folder: Path, template: str) -> HuggingFaceLLM:
    shutil.copytree(checkpoint, folder)
    (folder / "chat_template.jinja").write_text(template)
    return load_exactly(folder)


def test_without_a_chat_template_messages_get_the_plain_layout(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    assert not tiny.capabilities.takes_roles
    chat = load_chat_model(f"local:{gpt2}", max_new_tokens=3)
    assert getattr(chat, "family", None) == "plain"
    message = chat.invoke("Hi")
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 3


def test_messages_go_through_the_chat_template_with_special_tags_escaped(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = with_template(gpt2, tmp_path / "chat", TEMPLATE)
    assert llm.capabilities.takes_roles
    messages = [SystemMessage("Be brief."), HumanMessage("Hi<|endoftext|>"), AIMessage("Yes"), HumanMessage("Why?")]
    prompts: list[list[int]] = []
    generate = llm.pipeline.model.generate

    def record(input_ids: "object", **settings: object) -> object:
        prompts.append(input_ids[0].tolist())  # type: ignore[index]
        return generate(input_ids=input_ids, **settings)

    monkeypatch.setattr(llm.pipeline.model, "generate", record)
    [answer] = llm.complete(messages, max_new_tokens=4)
    expected = "<system>Be brief.\n<user>Hi<\\|endoftext|>\n<assistant>Yes\n<user>Why?\n"
    assert prompts == [[0, *llm.get_token_ids(expected)]]
    assert (answer.generation_info or {})["input_tokens"] == llm.prompt_tokens(messages) == len(prompts[0])


def test_messages_that_the_template_refuses_are_a_value_error(gpt2: Path, tmp_path: Path) -> None:
    llm = with_template(gpt2, tmp_path / "chat", "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(ValueError, match="the model's chat template refuses them: roles must alternate"):
        llm.complete([HumanMessage("Hi")])


def test_a_prompt_has_one_start_token_whether_from_text_or_from_the_template(gpt2: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, processors

    folder = changed_copy(gpt2, tmp_path / "starts", tokenizer_config={"bos_token": "<|endoftext|>"})
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing("<|endoftext|> $A", None, [("<|endoftext|>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    llm = load_exactly(folder)
    assert llm.get_token_ids("Hi")[0] == 0
    assert llm.get_token_ids("<|endoftext|>Hi") == llm.get_token_ids("Hi")
    assert llm.text_tokens("Hi") == llm.prompt_tokens("Hi") - 1
    assert llm.prompt_tokens([HumanMessage("Hi")]) == llm.prompt_tokens("<user>Hi\n")


# GGUF


def test_a_gguf_is_converted_once_and_then_loaded_without_output(converted: HuggingFaceLLM, smollm2: Path) -> None:
    assert converted.display_name == smollm2.name
    assert isinstance(converted, HuggingFacePipeline)
    script = f"from sagechain.llms import load_llm; print(load_llm('local:{smollm2}?engine=transformers').context_size)"
    done = processes.run("-c", script, server="torch", check=True)
    assert (done.stdout, done.stderr) == ("8192\n", "")


def test_a_broken_gguf_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\x03" * 100)
    with pytest.raises(errors.ModelNotLoaded, match="transformers cannot read"):
        load_llm(f"local:{tmp_path}/broken.gguf?engine=transformers")
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_dir()] == ["sagechain", "models"]
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="is not a GGUF file"):
        load_llm(f"local:{tmp_path}/x.gguf?engine=transformers")
