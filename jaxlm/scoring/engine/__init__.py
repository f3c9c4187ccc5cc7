"""From queries to what a model answers: packed into rows on the host while all local devices work."""

from jaxlm.scoring.engine._device_rows import ContrastRows, DeviceRows
from jaxlm.scoring.engine._engine import Engine, score_queries
from jaxlm.scoring.engine._engine_config import EngineConfig, WorkCounts, filled, longest_query
from jaxlm.scoring.engine._forward import LogProbForward
from jaxlm.scoring.engine._forward_contract import Forward, ForwardSetting, hidden_states, query_sums
from jaxlm.scoring.engine._instruction_positions import instruction_positions_on_host
from jaxlm.scoring.engine._queries import LazyQueries, Query, QueryContrast, QueryExtent, QueryScores, extent
from jaxlm.scoring.engine._step_forward import StepForward

__all__ = [
    "ContrastRows",
    "DeviceRows",
    "Engine",
    "EngineConfig",
    "Forward",
    "ForwardSetting",
    "LazyQueries",
    "LogProbForward",
    "Query",
    "QueryContrast",
    "QueryExtent",
    "QueryScores",
    "StepForward",
    "WorkCounts",
    "extent",
    "filled",
    "hidden_states",
    "instruction_positions_on_host",
    "longest_query",
    "query_sums",
    "score_queries",
]
