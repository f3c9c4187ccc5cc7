"""Errors of the disk come out in one form, whichever library met them."""

import errno
import os

import numpy as np
import pytest
import safetensors
import safetensors.numpy

from jaxlm import io


@pytest.mark.parametrize("number", sorted(errno.errorcode))
@pytest.mark.parametrize(
    "kind",
    [
        lambda number: OSError(number, os.strerror(number)),
        lambda number: OSError(number, os.strerror(number), "the partial file"),
        lambda number: safetensors.SafetensorError(
            f"Error while serializing: I/O error: x (os error {number})"
        ),
        lambda number: ValueError(f"UNKNOWN: Failed to write\n[os_error_code='{number}'] [source locations]"),
        lambda number: RuntimeError(f"wrapped: [Errno {number}] {os.strerror(number)}: 'a'"),
    ],
    ids=["Python", "with a name", "Rust", "tensorstore", "wrapped"],
)
def test_the_systems_number_is_kept_and_the_file_named(kind, number):
    with pytest.raises(io.WriteError) as caught, io.writing("the file"):
        raise kind(number)
    error = caught.value
    assert (error.errno, error.strerror, error.filename) == (number, os.strerror(number), "the file")


def test_the_first_name_stays():
    with pytest.raises(io.WriteError) as caught, io.writing("outer"), io.writing("inner"):
        raise OSError(errno.EIO, "?")
    assert caught.value.filename == "inner"


@pytest.mark.parametrize("error", [ValueError("width is 3"), KeyError("a"), KeyboardInterrupt()])
def test_what_is_not_of_the_disk_passes(error):
    with pytest.raises(type(error)) as caught, io.writing("x"):
        raise error
    assert caught.value is error


def test_an_error_that_led_to_another_counts():
    def full():
        try:
            raise OSError(errno.ENOSPC, "full")
        except OSError as error:
            raise ValueError("cannot save") from error

    with pytest.raises(io.WriteError) as caught, io.writing("x"):
        full()
    assert caught.value.errno == errno.ENOSPC


def test_a_real_error_of_safetensors(tmp_path):
    with pytest.raises(io.WriteError) as caught, io.writing("weights"):
        safetensors.numpy.save_file({"a": np.zeros(2)}, tmp_path / "none" / "a")
    assert caught.value.errno == errno.ENOENT
