"""Records in rows of one length, and batches of rows."""

from jaxlm.data.packing._batches import Batch, Batches, PackedPiece, eval_batches, gather_rows, unpack
from jaxlm.data.packing._capacity import masked_capacity
from jaxlm.data.packing._packing import LongRecords, PackingPlan, plan_packing

__all__ = [
    "Batch",
    "Batches",
    "LongRecords",
    "PackedPiece",
    "PackingPlan",
    "eval_batches",
    "gather_rows",
    "masked_capacity",
    "plan_packing",
    "unpack",
]
