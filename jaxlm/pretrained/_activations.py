"""What transformers calls the options that several families share."""

# The first word of several for one of ours is the one that is written.
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
# A gate's own function, which is what a head applies.
UNGATED = {"geglu": "gelu", "geglu_tanh": "gelu_tanh"}
