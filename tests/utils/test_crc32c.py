import numpy as np
import pytest

from flmm.utils.crc32c import crc32c, masked_crc32c


def bit_by_bit(data):
    """The definition, as slow as it is short."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ('data', 'crc'),
    [
        (b'123456789', 0xE3069283),
        # RFC 3720, section B.4.
        (bytes(32), 0x8A9136AA),
        (b'\xff' * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b'', 0),
    ],
)
def test_published_values(data, crc):
    assert crc32c(data) == crc


def test_any_length_is_cut_in_lanes_as_it_should():
    rng = np.random.default_rng(0)
    for length in [*range(1, 9), 63, 64, 65, 127, 128, 129, 1000, 4097]:
        data = rng.bytes(length)
        assert crc32c(data) == bit_by_bit(data), length


def test_the_mask_is_tensorflow_s():
    # The length 3, as the first eight bytes of a TFRecord: its four next bytes are known.
    assert masked_crc32c((3).to_bytes(8, 'little')) != crc32c((3).to_bytes(8, 'little'))
    crc = crc32c(b'abc')
    rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
    assert masked_crc32c(b'abc') == (rotated + 0xA282EAD8) % 2**32
