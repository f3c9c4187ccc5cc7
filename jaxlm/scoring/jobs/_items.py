"""A row a token or word, from rows a document with lists of its tokens or words."""

from itertools import chain
from typing import Literal

import pyarrow as pa

from jaxlm.errors import UsageError
from jaxlm.scoring.jobs._kept_columns import is_kept

# How the names of list columns begin: those of the likeliest tokens (top_ids, ...) are a token's, too.
PREFIXES = {"token": ("token_", "top_"), "word": ("word",)}


def item_rows(table: pa.Table, kind: Literal["token", "word"]) -> pa.Table:
    """Returns a table with one row for each token, or each word, of a table's documents, in order.

    Args:
      table: a table of documents, as `read_parts` yields it, scored with `tokens=True` or `words=True`.
      kind: whether a "token" or a "word" becomes a row; in a protein a token is a residue.

    Returns:
      A table with the document's `index`, its `id` and the columns that were copied from the corpus (`keep`);
      `place`, the number of the token or word in its document, from 0; and one column for each list of the
      asked kind: `token_...` and `top_...` for tokens, `word...` for words. A cell of `top_...` is a list.

    Raises:
      UsageError: if the table has no such lists.

    Example:
      >>> import pyarrow as pa
      >>> from jaxlm.scoring import item_rows
      >>> table = pa.table({"index": [0, 1], "id": ["a", "b"], "token_ids": [[7, 8], [9]]})
      >>> item_rows(table, "token").to_pylist()[1]
      {'index': 0, 'id': 'a', 'place': 1, 'token_ids': 8}
    """
    names = [
        field.name
        for field in table.schema
        if field.name.startswith(PREFIXES[kind]) and pa.types.is_list(field.type) and not is_kept(field)
    ]
    if not names:
        raise UsageError(f"no lists of {kind}s here: score with {kind}s=True (--{kind}s)")
    kept = [field.name for field in table.schema if is_kept(field)]
    lists = table[names[0]].combine_chunks()
    parents = lists.value_parent_indices()
    lengths = (length or 0 for length in lists.value_lengths().to_pylist())
    columns = {name: table[name].take(parents) for name in ("index", "id", *kept)}
    columns["place"] = pa.array(chain.from_iterable(map(range, lengths)), pa.int32())
    columns |= {name: table[name].combine_chunks().flatten() for name in names}
    return pa.table(columns)
