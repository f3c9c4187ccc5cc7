"""Language models in JAX: train them, score corpora with them, decode with them, explain what they did.

The rooms are the submodules (`jaxlm.models`, `jaxlm.corruption`, `jaxlm.training`, ...). Each is imported at
first use, so that `import jaxlm` costs nothing.

Glossary, with shapes in the letters of `jaxlm.typing`:

  record: one document of a corpus with its id, its text and other fields (`data.Record`).
  document: the text of a record; for other corpora a protein sequence or a function's instructions.
  token: the number of a vocabulary entry, its id; `tokens` are `Int[B L]`.
  frame: the tokens that open and close a text when a model reads it, such as [CLS] and [SEP].
  example: a document, or a part of one that fits into a row, as training reads it; draws depend on its id.
  piece: a contiguous part of an example that packing puts into one row.
  segment: a piece in its row, numbered from 1; 0 is padding. `segments` are `Int[B L]`, G of them in a row.
  position: the index of a token in its segment, `Int[B L]`; the model is told where a token is by it.
  offset: the index of a token in its example or text, which packing does not change.
  row: L positions that the model reads together; several segments are packed into one row.
  batch: B rows that are computed in one step; global, divided among the devices.
  slot: one entry of a cache (S of them in a row), or of a fixed number of masked positions (M in a batch).
  mask: True = real, may attend, or counts in the loss; the mask token is [MASK].
  unit: what corruption chooses as a whole: a token, a word or an instruction.
  corruption: a keyed change of tokens that a model learns to undo (`corruption.corrupt`).
  kind: what a model is and can do: causal LM, masked LM, encoder-decoder, classifier (`models.ModelKind`).
  memory: the keys and values of an encoder's output that a decoder attends to, S positions a row.
  site: a named array inside a model, such as a block's output (`models.Site`); interventions change it.
  objective: what training optimises: the inputs, targets and loss of a batch (`training.Objective`).
  run: one training with its folder: experiment, checkpoints, metrics.
  split: a share of a corpus: train, validation or test.
  measure: a kind of score of documents, such as the log-likelihood (`scoring.Measure`).
  query: one sequence that a measure gives to the model, and the positions asked of it, Q of them in a batch.
  job: the resumable scoring of a corpus into a folder.
  part: consecutive documents of a job that are written to one file.
  shard: the parts of a job that one of several processes scores.
  step function: a function of a prediction that returns one number, such as its entropy (`jaxlm.steps`).
  contrast: another text, or another target, that a step function compares a prediction with.
  attribution: how much each input token moved each prediction of a model (`attribution.Attribution`).
  state: a context that a language model has read; `state << token` is the next one (`decoding.LMState`).
  target: the true id at a position, in training and scoring; or a device to compile for (`devices.Target`).
"""

import importlib
from typing import Any

__version__ = "0.1.0"

ROOMS = (
    "attribution",
    "cli",
    "corruption",
    "data",
    "decoding",
    "devices",
    "errors",
    "io",
    "models",
    "ops",
    "pretrained",
    "reports",
    "scoring",
    "steps",
    "tokenizers",
    "training",
    "typing",
)


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its rooms are {', '.join(ROOMS)}")


def __dir__() -> list[str]:
    return [*ROOMS, "__version__"]
