"""From a row a document, with lists of its tokens or words, to a row a token or word."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from jaxlm.errors import UsageError
from jaxlm.scoring.jobs._kept_columns import is_kept

# Of tokens there are lists whose names begin otherwise.
PREFIXES = {"token": ("token_", "top_"), "word": ("word",)}


def item_rows(table: pa.Table, kind: Literal["token", "word"]) -> pa.Table:
    """Returns a row a token or word of the documents of a table, in order.

    Args:
      table: of documents, as `read_parts` yields it, of a measure that was asked for tokens or words.
      kind: what becomes a row; a token of a protein is a residue.

    Returns:
      `index` and `id` of the document and the columns that it keeps, `place` within it (from 0), and the
      columns that were lists.

    Raises:
      UsageError: if the table has no such lists.

    Example:
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
    parents = pc.list_parent_indices(table[names[0]].combine_chunks())
    lengths = pc.fill_null(pc.list_value_length(table[names[0]]), 0).to_pylist()
    columns = {name: table[name].take(parents) for name in ("index", "id", *kept)}
    columns["place"] = pa.array([place for length in lengths for place in range(length)], pa.int32())
    columns |= {name: pc.list_flatten(table[name].combine_chunks()) for name in names}
    return pa.table(columns)
