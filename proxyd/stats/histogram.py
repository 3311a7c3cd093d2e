"""The log-linear scale of histograms: sixteen buckets for every doubling of the value.

A value below 16 has a bucket of its own. Above, a bucket is 1/16 of its octave wide, so a quantile taken from
the middle of a bucket is at most 1/32 (3.2 %) away from the recorded value. Bounds are in the recorded unit.
"""

from typing import Final

SUB_BITS: Final = 4
SUB_BUCKETS: Final = 1 << SUB_BITS
# 2**42 us are 50 days, and 4 TiB where bytes are recorded; what is larger is counted in the last bucket.
MAX_BITS: Final = 42
BUCKETS: Final = SUB_BUCKETS + SUB_BUCKETS * (MAX_BITS - SUB_BITS)


def bucket_of(value: int) -> int:
    """The index of the bucket that counts ``value``; negative values count as 0."""
    if value < SUB_BUCKETS:
        return max(value, 0)
    shift = value.bit_length() - SUB_BITS - 1
    index = (shift << SUB_BITS) + (value >> shift)
    return index if index < BUCKETS else BUCKETS - 1


def lower_bound(index: int) -> int:
    """The least value that bucket ``index`` counts."""
    if index < 2 * SUB_BUCKETS:
        return index
    shift = (index >> SUB_BITS) - 1
    return (SUB_BUCKETS + (index & (SUB_BUCKETS - 1))) << shift


def width(index: int) -> int:
    """How many whole values bucket ``index`` counts."""
    return 1 if index < 2 * SUB_BUCKETS else 1 << ((index >> SUB_BITS) - 1)
