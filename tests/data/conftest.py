"""The embedded corpus, disassembled once for all tests that look at real code."""

import pytest

from jaxlm import data


@pytest.fixture(scope="session")
def library():
    return list(data.bytecode_source())
