"""Tables and pictures, drawn from result records only."""

from jaxlm.reports._curve import draw_curve
from jaxlm.reports._tables import evaluation_table, fill_table, level_table, next_table

__all__ = ["draw_curve", "evaluation_table", "fill_table", "level_table", "next_table"]
