"""Array types whose shapes are written in one alphabet.

`B` batch, `L` positions (queries), `S` positions attended to (keys, cache), `D` width, `N` query heads, `K`
key/value heads, `H` head width, `F` feed-forward width, `V` vocabulary, `M` masked positions, or other
positions whose predictions are asked, `G` segments of a row, `Q` queries of a batch, `E` ensemble members,
`T` tiles. A file that needs another letter says in its first lines what it means. `AnyArray` is an array of
JAX or NumPy, for functions that work on both and return an array of the kind that they were given.

>>> from jaxlm.typing import Array, Float
>>> Float[Array, "B L V"].dim_str
'B L V'
"""

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Integer, Key, Num, UInt8, UInt32

AnyArray = Array | np.ndarray

__all__ = ["AnyArray", "Array", "Bool", "Float", "Int", "Integer", "Key", "Num", "UInt8", "UInt32"]
