"""The options of `jaxlm evaluate`."""

import dataclasses
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from jaxlm import data
from jaxlm.cli._byte_models import Unit
from jaxlm.cli._models import DType


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Show the loss, perplexity, accuracy and calibration of a model, beside those of a unigram baseline.

    Masks, and the spans that an encoder-decoder has to write, are the same at every call. For a causal model
    bits per byte are shown too, beside those of zlib and xz. Without CORPUS the run's own held-out test split
    is used. Bits per byte of models with different tokenizers are comparable with --unit byte, and of several
    models: jaxlm evaluate ./gpt2 ./llama corpus.txt --unit byte

    Attributes:
      model: a run folder that jaxlm train wrote, a checkpoint of one (RUN@best, RUN@last, RUN@STEP), or a
        Hugging Face folder or name, which need a CORPUS
      corpus: files, folders or globs; with --unit byte further models before them
      unit: token, or byte for causal models: the log-likelihood of bytes, summed over the ways to divide them
        into tokens
      format: how to read every file; None takes it from each ending
      document: of a text file, whether a line or the whole file is one document; None: a line
      field: the JSONL field or the column (CSV, Parquet) with the text; None: text
      label_field: for a classifier or a regression, the JSONL field or the column of CORPUS with the label;
        None: the label is found as in the run's training
      max_document: the most bytes of a document of CORPUS, decompressed (of JSONL and CSV, of a line); None:
        67,108,864
      batch_size: rows of a batch
      noisy: corrupt the texts as in training; a masked LM's always are
      row_length: tokens of a row, and of the pieces of longer texts; None: the run's, and for another model
        at most 512
      dtype: type of the parameters and of the computation; None: the run's, and float32 for a Hugging Face
        folder
      json: print one JSON object
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    corpus: Annotated[Positional[tuple[str, ...]], arg(metavar="CORPUS")] = ()
    unit: Unit = "token"
    format: data.Format | None = None
    document: Literal["line", "file"] | None = None
    field: str | None = None
    label_field: str | None = None
    max_document: int | None = None
    batch_size: int = 16
    noisy: FlagCreatePairsOff[bool] = False
    row_length: int | None = None
    dtype: DType | None = None
    json: FlagCreatePairsOff[bool] = False
