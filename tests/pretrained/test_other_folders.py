"""Folders that hold something else than a model: each is named as what it is, with what helps."""

import json

import pytest

from jaxlm import pretrained
from jaxlm.pretrained._other_folders import ADAPTER_WEIGHTS, CLASSES, FOREIGN_KINDS, MERGED

CONFIG = json.dumps({"model_type": "bert"})
# Names as they are published, by what the line says of them.
PUBLISHED = {
    "GGUF, the format of llama.cpp": ["llama-3.Q4_K_M.gguf", "ggml-model-q4_0.bin"],
    "the maker's own layout": ["consolidated.safetensors", "consolidated.00.pth", "consolidated.01.pth"],
    "ONNX, a compiled graph": ["model.onnx", "onnx/model_quantized.onnx"],
    "OpenVINO, a compiled graph": ["openvino_model.xml"],
    "a model compiled for another runtime": ["rust_model.ot", "coreml/text.mlpackage", "model.tflite"],
    "weights of Flax": ["flax_model.msgpack", "flax_model-00001-of-00002.msgpack"],
    "weights of TensorFlow": ["tf_model.h5", "bert_model.ckpt.index", "saved_model.pb"],
    "a sharded checkpoint of training": ["zero_to_fp32.py", "pytorch_model_fsdp_0/__0_0.distcp"],
    "arrays of NumPy or MLX": ["weights.npz"],
    "it holds shards without their index": [
        "model-00001-of-00002.safetensors",
        "pytorch_model-00001-of-00002.bin",
    ],
    "and what is read is model.safetensors": ["model.fp16.safetensors", "pytorch_model.pt", "epoch=3.ckpt"],
}
CASES = [(told, name) for told, names in PUBLISHED.items() for name in names]


def write(folder, name, text=""):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def told(folder):
    lines = []
    for open_it in (pretrained.load, pretrained.inspect):
        with pytest.raises(FileNotFoundError) as caught:
            open_it(folder)
        lines.append(str(caught.value))
    assert lines[0] == lines[1] and "\n" not in lines[0] and str(folder) in lines[0]
    return lines[0]


def test_every_kind_is_tried():
    assert {kind.what.partition(",")[0] for kind in FOREIGN_KINDS} <= {
        told.partition(",")[0] for told in PUBLISHED
    }


@pytest.mark.parametrize(
    "beside", [(), ("tokenizer.json", "vocab.txt"), ("config.json",), ("README.md",)], ids=str
)
@pytest.mark.parametrize(("what", "name"), CASES, ids=[name for _, name in CASES])
def test_files_of_others_are_named(tmp_path, what, name, beside):
    write(tmp_path, name)
    for other in beside:
        write(tmp_path, other, CONFIG)
    line = told(tmp_path)
    assert what in line and name.split("/")[-1] in line
    assert line.startswith(f"no model in {tmp_path}: it has no ")


@pytest.mark.parametrize("name", ADAPTER_WEIGHTS)
def test_the_weights_of_an_adapter_alone_are_named(tmp_path, name):
    write(tmp_path, name)
    write(tmp_path, "tokenizer.json", "{}")
    line = told(tmp_path)
    assert f"it holds {name}, the weights of an adapter of PEFT: fetch adapter_config.json" in line


def test_a_file_that_two_patterns_name_is_named_once(tmp_path):
    write(tmp_path, "flax_model.msgpack")
    assert told(tmp_path).count("flax_model.msgpack") == 1


@pytest.mark.parametrize("kind", [*MERGED, "PREFIX_TUNING", None])
@pytest.mark.parametrize("task", [*CLASSES, None])
def test_an_adapter_names_its_base_and_how_it_is_merged(tmp_path, kind, task):
    values = {"base_model_name_or_path": "owner/base", "peft_type": kind, "task_type": task}
    write(tmp_path, "adapter_config.json", json.dumps(values))
    write(tmp_path, "adapter_model.safetensors")
    line = told(tmp_path)
    assert f"an adapter of PEFT ({kind or 'LORA'}) for owner/base" in line
    is_merged = kind in (*MERGED, None)
    assert ("merge_and_unload()" in line) == is_merged
    assert not is_merged or CLASSES.get(task, "AutoModelForMaskedLM") in line


def test_an_adapter_that_cannot_be_read_is_one_still(tmp_path):
    for text in ("{", "[]", "{}"):
        write(tmp_path, "adapter_config.json", text)
        assert "an adapter of PEFT (LORA) for BASE" in told(tmp_path)


def test_folders_without_any_weights(tmp_path):
    assert "the folder is empty: expected config.json, tokenizer files" in told(tmp_path)
    write(tmp_path, ".cache/huggingface/x.lock")
    assert "the folder is empty" in told(tmp_path)
    write(tmp_path, "spiece.model")
    assert "it holds a tokenizer and no model: fetch config.json and model.safetensors" in told(tmp_path)
    write(tmp_path, "config.json", CONFIG)
    assert "it holds config.json and no weights: fetch model.safetensors" in told(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_without_a_config(tmp_path, name):
    write(tmp_path, name)
    assert f"it holds {name}, and only config.json says of what model: fetch it" in told(tmp_path)


@pytest.mark.parametrize("inner", ["0_Transformer", "checkpoint-9", "snapshots/a1b2", "text_encoder"])
def test_models_in_folders_within_are_named(tmp_path, inner):
    write(tmp_path, f"{inner}/config.json", CONFIG)
    write(tmp_path, "modules.json")
    assert f"models lie in folders within: name one of them, {tmp_path / inner}" in told(tmp_path)
    write(tmp_path, "model_index.json", "{}")
    assert "a pipeline of diffusers" in told(tmp_path) and told(tmp_path).endswith(str(tmp_path / inner))


def test_the_last_checkpoints_are_named(tmp_path):
    for step in range(500, 3001, 500):
        write(tmp_path, f"checkpoint-{step}/config.json", CONFIG)
    assert told(tmp_path).endswith(", ".join(f"{tmp_path}/checkpoint-{n}" for n in (1500, 2000, 2500, 3000)))


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    for name, what in (("a.gguf", "it is GGUF"), ("model.onnx", "it is ONNX"), ("a.txt", "holds it")):
        write(tmp_path, name)
        with pytest.raises(NotADirectoryError, match=f"{name} is a file: expected the folder .*{what}"):
            pretrained.load(tmp_path / name)
