"""CRC-32C (Castagnoli) of bytes, many at once.

A byte at a time in Python would take as long as decoding the image that the bytes are. The checksum
is linear over GF(2), so a message is cut in lanes, all of them go through the table together, and
neighbours are joined pair by pair.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

#: The polynomial, bits reversed.
_POLYNOMIAL = 0x82F63B78
#: Bytes of a lane.
_LANE = 64
_MASK_DELTA = 0xA282EAD8


def crc32c(data: bytes) -> int:
    """Checksum of ``data`` as iSCSI, ext4 and TFRecord define it.

    Args:
        data: Any bytes.

    Returns:
        32 bits.
    """
    message = np.frombuffer(data, dtype=np.uint8).copy()
    if len(message) < 4:
        return _bytewise(data)
    # The register starts with all ones, which is the same as inverting the first four bytes.
    message[:4] ^= 0xFF
    lanes = 1 << max(-(-len(message) // _LANE) - 1, 0).bit_length()
    # Zeros in front leave a register of zeros as it is.
    padded = np.zeros(lanes * _LANE, dtype=np.uint8)
    padded[len(padded) - len(message) :] = message
    state = np.zeros(lanes, dtype=np.uint32)
    table = _table()
    for column in padded.reshape(lanes, _LANE).T:
        state = (state >> 8) ^ table[(state ^ column) & 0xFF]
    length = _LANE
    while len(state) > 1:
        state = _shift(state[::2], length) ^ state[1::2]
        length *= 2
    return int(state[0]) ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """Checksum as TFRecord stores it: rotated, plus a constant."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def _bytewise(data: bytes) -> int:
    table, state = _table(), 0xFFFFFFFF
    for byte in data:
        state = (state >> 8) ^ int(table[(state ^ byte) & 0xFF])
    return state ^ 0xFFFFFFFF


@lru_cache(maxsize=1)
def _table() -> np.ndarray:
    state = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        state = (state >> 1) ^ np.where(state & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return state


def _shift(state: np.ndarray, length: int) -> np.ndarray:
    """Registers after ``length`` further zeros."""
    tables = _shift_tables(length)
    out = np.zeros_like(state)
    for index in range(4):
        out ^= tables[index][(state >> (8 * index)) & 0xFF]
    return out


@lru_cache(maxsize=64)
def _shift_tables(length: int) -> np.ndarray:
    """``(4, 256)``: what each value of each byte of a register becomes after ``length`` zeros."""
    values = np.arange(256, dtype=np.uint32)
    state = np.stack([values << (8 * index) for index in range(4)])
    if length > 1:
        half = _shift(_shift(state, length // 2), length // 2)
        return half if length % 2 == 0 else _shift(half, 1)
    return (state >> 8) ^ _table()[state & 0xFF]
