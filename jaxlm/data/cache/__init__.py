"""A tokenised corpus on disk, there in full or not at all."""

from jaxlm.data.cache._cache import TokenCache, build_cache
from jaxlm.data.cache._cache_writer import (
    CACHE_FORMAT,
    CacheCounts,
    CacheWriter,
    EndTokens,
    ends_frame,
    nothing_to_mask,
)
from jaxlm.data.cache._folders import open_or_build

__all__ = [
    "CACHE_FORMAT",
    "CacheCounts",
    "CacheWriter",
    "EndTokens",
    "TokenCache",
    "build_cache",
    "ends_frame",
    "nothing_to_mask",
    "open_or_build",
]
