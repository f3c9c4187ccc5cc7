"""The methods of attribution by name."""

from collections.abc import Mapping

from jaxlm.attribution._method import Method

# In the order in which they are listed. A method joins by its row here.
_ROWS: tuple[Method, ...] = ()
METHODS: Mapping[str, Method] = {row.name: row for row in _ROWS}
