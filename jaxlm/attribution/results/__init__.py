"""Results of attribution: one record a text."""

from jaxlm.attribution.results._attribution import Attribution

__all__ = ["Attribution"]
