"""Array types whose shapes are written in one alphabet.

`B` batch, `L` positions (queries), `S` positions attended to (keys, cache), `D` width, `N` query heads, `K`
key/value heads, `H` head width, `F` feed-forward width, `V` vocabulary, `M` masked positions, `E` ensemble
members.

>>> from jaxlm.typing import Array, Float
>>> Float[Array, "B L V"].dim_str
'B L V'
"""

from jaxtyping import Array, Bool, Float, Int, Integer, Key, Num, UInt8, UInt32

__all__ = ["Array", "Bool", "Float", "Int", "Integer", "Key", "Num", "UInt8", "UInt32"]
