from pytest import approx

from flmm.utils.boxes import clip_xyxy, padded_box_xyxy, xywh_to_xyxy


def test_padding_reaches_outside_the_image():
    # 100x50 (H, W) becomes 50x25 on a 50x50 canvas: half size, 12 px left, 13 px right.
    box = padded_box_xyxy((100, 50), (50, 25), (50, 50), (0, 12))
    assert box == approx((-24, 0, 76, 100))
    assert clip_xyxy(box, 100, 50) == approx((0, 0, 50, 100))


def test_xywh_to_xyxy():
    assert xywh_to_xyxy((1, 2, 3, 4)) == (1, 2, 4, 6)
