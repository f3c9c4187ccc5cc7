import json
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.pretrained._safetensors import open_safetensors

TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.arange(4, dtype=np.float16),
    "brain": np.arange(5).astype(jnp.bfloat16),
    "double": np.array(2.5),
    "ids": np.arange(3),
    "mask": np.array([True, False]),
    "none": np.zeros((0, 4), np.float32),
}


def written(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(dtype="F32", shape=(2,), start=0, stop=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


def test_every_type_is_read_as_it_was_written(tmp_path):
    safetensors.numpy.save_file(TENSORS, tmp_path / "t", metadata={"format": "pt"})
    found = open_safetensors(tmp_path / "t")
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (found[name].shape, found[name].dtype) == (tensor.shape, tensor.dtype)
        np.testing.assert_array_equal(found[name].read(), tensor)


def test_tensors_are_views_of_the_file(tmp_path):
    safetensors.numpy.save_file(TENSORS, tmp_path / "t")
    array = open_safetensors(tmp_path / "t")["a"].read()
    assert not array.flags.owndata and not array.flags.writeable


def test_a_file_may_begin_its_tensors_at_any_byte(tmp_path):
    values = np.arange(2, dtype=np.float32)
    text = json.dumps({"a": entry()}).encode()
    for spaces in range(8):
        path = written(tmp_path / f"t{spaces}", text + b" " * spaces, values.tobytes())
        np.testing.assert_array_equal(open_safetensors(path)["a"].read(), values)


EIGHT = b"\0" * 8
LIES = {
    "empty": (b"", b"", None, "begins at|not JSON"),
    "longer than the file": ({"a": entry()}, EIGHT, 2**40, r"claims 1,099,511,627,776 bytes in a file of"),
    "longest there is": ({"a": entry()}, EIGHT, 2**64 - 1, "claims 18,446,744,073,709,551,615 bytes"),
    "not JSON": (b'{"a": ', EIGHT, None, "header is not JSON"),
    "not text": (b"\xff\xfe{}", EIGHT, None, "header is not JSON"),
    "deep": (b"[" * 100_000, EIGHT, None, "header is not JSON"),
    "a list": ([], b"", None, "header is list"),
    "twice": (b'{"a":' + json.dumps(entry()).encode() + b',"a":1}', EIGHT, None, "a name stands in it twice"),
    "no object": ({"a": 3}, EIGHT, None, "'a' lacks a type, a shape or two offsets"),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 8]}}, EIGHT, None, "'a' lacks"),
    "negative shape": ({"a": entry(shape=(-2, -1))}, EIGHT, None, "'a' lacks"),
    "a shape of truth": ({"a": entry(shape=(True, 2))}, EIGHT, None, "'a' lacks"),
    "huge shape": ({"a": entry(shape=(2**40, 2**40))}, EIGHT, None, "do not hold F32"),
    "a number past all": ({"a": entry(shape=(10**30,))}, EIGHT, None, "'a' lacks"),
    "wrapping shape": ({"a": entry(shape=(2**62, 4, 2))}, EIGHT, None, "do not hold F32"),
    "many axes": ({"a": entry(shape=(1,) * 40, stop=4)}, EIGHT, None, "40 axes"),
    "one offset": ({"a": entry() | {"data_offsets": [0]}}, EIGHT, None, "'a' lacks"),
    "backwards": ({"a": entry(start=8, stop=0)}, EIGHT, None, "do not hold F32"),
    "of another size": ({"a": entry(stop=4)}, b"\0" * 4, None, r"offsets 0 to 4 do not hold F32 \[2\]"),
    "past the end": ({"a": entry(), "b": entry(start=8, stop=16)}, EIGHT, None, "cut off: .* 16 .* holds 8"),
    "far past the end": (
        {"a": entry(), "b": entry("U8", (2**50,), 8, 8 + 2**50)},
        EIGHT,
        None,
        "it is cut off",
    ),
    "over each other": (
        {"a": entry(), "b": entry(start=4, stop=12)},
        b"\0" * 12,
        None,
        "'b' begins at byte 4",
    ),
    "a gap": ({"a": entry(start=8, stop=16)}, b"\0" * 16, None, "'a' begins at byte 8, expected at 0"),
    "a rest": ({"a": entry()}, EIGHT + b"!", None, "1 bytes after its last tensor belong to none"),
    "unknown type": ({"a": entry("F8_E4M3", (8,))}, EIGHT, None, "of type F8_E4M3: those that are read"),
}


@pytest.mark.parametrize(("header", "data", "length", "told"), LIES.values(), ids=LIES)
def test_a_header_that_lies_is_refused_before_anything_is_made_of_it(tmp_path, header, data, length, told):
    path = written(tmp_path / "model.safetensors", header, data, length)
    tracemalloc.start()
    with pytest.raises(ValueError, match=told) as caught:
        open_safetensors(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{path} is not a whole safetensors file: ") and "\n" not in message
    assert peak < 4_000_000


@pytest.mark.parametrize("size", range(8))
def test_a_file_shorter_than_a_header(tmp_path, size):
    (tmp_path / "t").write_bytes(b"\0" * size)
    with pytest.raises(ValueError, match=f"it has {size} bytes"):
        open_safetensors(tmp_path / "t")


def test_a_pointer_of_git_lfs_is_told_apart(tmp_path):
    (tmp_path / "t").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 548105171\n")
    with pytest.raises(ValueError, match=r"Git LFS pointer to one; .* git lfs pull"):
        open_safetensors(tmp_path / "t")


@pytest.mark.parametrize("kept", [0, 3, 8, 60, 200, -1])
def test_a_download_that_broke_off_anywhere(tmp_path, kept):
    safetensors.numpy.save_file(TENSORS, tmp_path / "t")
    data = (tmp_path / "t").read_bytes()
    (tmp_path / "t").write_bytes(data[:kept])
    with pytest.raises(ValueError, match="fetch it again"):
        open_safetensors(tmp_path / "t")


@given(
    header=st.dictionaries(
        st.text(max_size=3),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "BF16", "U8", "F4", 3]),
                "shape": st.lists(st.integers(-1, 2**65) | st.integers(0, 3), max_size=3),
                "data_offsets": st.lists(st.integers(-1, 16) | st.integers(0, 2**65), max_size=3),
            }
        ),
        max_size=3,
    ),
    data=st.binary(max_size=24),
)
def test_any_header_is_refused_or_read_as_the_reference_reads_it(tmp_path_factory, header, data):
    path = written(tmp_path_factory.mktemp("any") / "t", header, data)
    try:
        found = {name: tensor.read() for name, tensor in open_safetensors(path).items()}
    except ValueError as error:
        assert "\n" not in str(error)
        return
    expected = safetensors.numpy.load_file(path)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.tobytes() == expected[name].tobytes() and array.shape == expected[name].shape
