"""XXH64, by which Envoy hashes whatever a host is chosen by: the same choice needs the same hash.

https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

from typing import Final

_MASK: Final = 0xFFFFFFFFFFFFFFFF
_PRIME_1: Final = 0x9E3779B185EBCA87
_PRIME_2: Final = 0xC2B2AE3D27D4EB4F
_PRIME_3: Final = 0x165667B19E3779F9
_PRIME_4: Final = 0x85EBCA77C2B2AE63
_PRIME_5: Final = 0x27D4EB2F165667C5


def xxh64(data: bytes, seed: int = 0) -> int:
    """The hash of ``data``, from 0 up to but not including 2^64."""
    length = len(data)
    place = 0
    if length >= 32:
        one = (seed + _PRIME_1 + _PRIME_2) & _MASK
        two = (seed + _PRIME_2) & _MASK
        three = seed
        four = (seed - _PRIME_1) & _MASK
        while place + 32 <= length:
            one = _round(one, _number(data, place, 8))
            two = _round(two, _number(data, place + 8, 8))
            three = _round(three, _number(data, place + 16, 8))
            four = _round(four, _number(data, place + 24, 8))
            place += 32
        value = (_rotated(one, 1) + _rotated(two, 7) + _rotated(three, 12) + _rotated(four, 18)) & _MASK
        for lane in (one, two, three, four):
            value = ((value ^ _round(0, lane)) * _PRIME_1 + _PRIME_4) & _MASK
    else:
        value = (seed + _PRIME_5) & _MASK
    value = (value + length) & _MASK
    while place + 8 <= length:
        value ^= _round(0, _number(data, place, 8))
        value = (_rotated(value, 27) * _PRIME_1 + _PRIME_4) & _MASK
        place += 8
    if place + 4 <= length:
        value ^= (_number(data, place, 4) * _PRIME_1) & _MASK
        value = (_rotated(value, 23) * _PRIME_2 + _PRIME_3) & _MASK
        place += 4
    while place < length:
        value ^= (data[place] * _PRIME_5) & _MASK
        value = (_rotated(value, 11) * _PRIME_1) & _MASK
        place += 1
    value = ((value ^ value >> 33) * _PRIME_2) & _MASK
    value = ((value ^ value >> 29) * _PRIME_3) & _MASK
    return value ^ value >> 32


def _number(data: bytes, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")


def _rotated(value: int, bits: int) -> int:
    return (value << bits & _MASK) | value >> (64 - bits)


def _round(lane: int, number: int) -> int:
    return _rotated((lane + number * _PRIME_2) & _MASK, 31) * _PRIME_1 & _MASK
