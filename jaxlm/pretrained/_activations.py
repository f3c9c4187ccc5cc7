"""The names of activations in transformers, by families with and without a gate."""

# Of several names for one of our activations, the first is written.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_python": "gelu",
    "relu": "relu",
}
GATED_ACTIVATIONS = {
    "silu": "swiglu",
    "swish": "swiglu",
    "gelu": "geglu",
    "gelu_pytorch_tanh": "geglu_tanh",
    "gelu_new": "geglu_tanh",
    "gelu_fast": "geglu_tanh",
    "gelu_python": "geglu",
}
UNGATED_WORDS = {**ACTIVATIONS, "silu": "silu", "swish": "silu"}
# The activation inside a gate, which a head applies.
UNGATED = {"geglu": "gelu", "geglu_tanh": "gelu_tanh"}
