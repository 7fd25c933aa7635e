"""Paths at non-deterministic RSEs: a STAC asset's original URL, and else Rucio's default."""

from stac_policy.non_deterministic_pfn import non_deterministic_pfn

__all__ = ["non_deterministic_pfn"]
