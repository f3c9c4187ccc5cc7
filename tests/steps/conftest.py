"""One tiny model of each kind."""

import pytest

from tests.steps.tiny_models import open_model


@pytest.fixture(scope="session")
def causal():
    return open_model("causal")


@pytest.fixture(scope="session")
def masked():
    return open_model("masked")


@pytest.fixture(scope="session")
def seq2seq():
    return open_model("seq2seq")
