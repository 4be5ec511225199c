import pytest
from hypothesis import given
from hypothesis import strategies as st

from flmm.utils.box_writers import BoardBoxes, CrayonBoxes


def test_crayon_boxes_are_shares_with_two_decimals_inside_the_image():
    assert CrayonBoxes().box_text((6, 18, 61, 210), (200, 100)) == '[0.06, 0.09, 0.61, 1.00]'


def test_a_board_lies_over_the_picture_padded_to_a_square():
    # 120 x 60: a square of 120 with 30 above; 12 squares of 10 pixels.
    board = BoardBoxes()
    assert board.box_text((0, 0, 10, 10), (60, 120)) == 'A 4 A 4'
    assert board.box_text((21, 12, 48, 30), (60, 120)) == 'C 5 E 6'
    assert board.read_boxes('C 5 E 6', (60, 120)) == [(20, 10, 50, 30)]
    assert board.read_boxes('from E6 to C5.', (60, 120)) == [(20, 10, 50, 30)]


def test_what_is_no_box_is_left_out():
    board = BoardBoxes()
    for text in ('', 'C 5', 'a ring', 'Z 1 Z 2', 'A 0 A 99', 'A 1 B 1'):
        assert board.read_boxes(text, (60, 120)) == []
    with pytest.raises(ValueError, match='1 to 26'):
        BoardBoxes(27)


@given(
    st.integers(30, 200),
    st.integers(30, 200),
    st.tuples(*[st.floats(0, 1)] * 4),
)
def test_reading_what_was_written_is_off_by_half_a_square_at_most(height, width, shares):
    xs, ys = sorted(shares[:2]), sorted(shares[2:])
    box = (xs[0] * width, ys[0] * height, xs[1] * width, ys[1] * height)
    board, step = BoardBoxes(), max(height, width) / 12
    if box[2] - box[0] < 2 * step or box[3] - box[1] < 2 * step:
        return
    (read,) = board.read_boxes(board.box_text(box, (height, width)), (height, width))
    assert max(abs(a - b) for a, b in zip(read, box, strict=True)) <= step / 2 + 1e-6


@given(st.text())
def test_no_text_makes_reading_fail(text):
    for box in BoardBoxes().read_boxes(text, (60, 120)):
        assert 0 <= box[0] < box[2] <= 120 and 0 <= box[1] < box[3] <= 60
