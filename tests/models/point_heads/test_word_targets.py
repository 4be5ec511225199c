"""Which images have traces for targets and which the boxes of their captions."""

import torch

from flmm.models.point_heads.word_targets import word_point_targets

# Two images of one caption of three words.
TRACE_WORDS = torch.tensor([[[True, True, False]], [[True, True, False]]])
BOX_WORDS = torch.tensor([[[False, False, True]], [[False, False, True]]])
BOXES = torch.tensor([[[1.0, 2.0, 5.0, 8.0]], [[10.0, 20.0, 30.0, 40.0]]])
TRACES = torch.zeros(2, 1, 3, 2, 2)
TRACES[0, 0, 1] = torch.tensor([[3.0, 4.0], [6.0, 7.0]])


def test_without_either_there_is_no_target():
    assert word_point_targets(TRACE_WORDS, BOX_WORDS, None, None) is None


def test_traces_alone_are_the_targets_as_they_are():
    points, words = word_point_targets(TRACE_WORDS, BOX_WORDS, TRACES, None)
    assert points is TRACES and words is TRACE_WORDS


def test_boxes_alone_give_every_word_their_corners():
    points, words = word_point_targets(TRACE_WORDS, BOX_WORDS, None, BOXES)
    assert words is BOX_WORDS and points.shape == (2, 1, 3, 2, 2)
    assert (points[0, 0] == torch.tensor([[1.0, 2.0], [5.0, 8.0]])).all()


def test_an_image_with_any_trace_has_only_traces():
    points, words = word_point_targets(TRACE_WORDS, BOX_WORDS, TRACES, BOXES)
    # The first one's words without a trace stay at 0, they do not get the box.
    assert points[0].equal(TRACES[0]) and words[0].equal(TRACE_WORDS[0])
    assert (points[1, 0] == torch.tensor([[10.0, 20.0], [30.0, 40.0]])).all()
    assert words[1].equal(BOX_WORDS[1])
