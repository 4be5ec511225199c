import pytest
import torch

from flmm.models.point_heads import WordRules

RULES = WordRules(begin_id=1, end_id=2, pad_id=0)
#: Two captions of one image: two words and three.
TOKENS = torch.tensor([[[1, 5, 6, 2, 0], [1, 7, 8, 9, 2]]])
WORDS = [[False, True, True, False, False], [False, True, True, True, False]]
LAST = [[False, False, True, False, False], [False, False, False, True, False]]


def test_a_captions_box_is_around_the_points_of_its_last_word():
    points = torch.zeros(1, 2, 5, 2, 2)
    points[0, 0, 1] = torch.tensor([[50.0, 60], [70, 80]])
    points[0, 0, 2] = torch.tensor([[9.0, 4], [3, 8]])
    points[0, 1, 3] = torch.tensor([[20.0, 20], [30, 10]])
    assert RULES.boxes(points, TOKENS).tolist() == [[[3, 4, 9, 8], [20, 10, 30, 20]]]
    # By another rule around those of every word; the second caption's other ones lie at 0.
    around = RULES.boxes(points, TOKENS, 'begin,end,pad')
    assert around.tolist() == [[[3, 4, 70, 80], [0, 0, 30, 20]]]


def test_a_caption_without_words_has_a_box_inside_out():
    box = RULES.boxes(torch.ones(1, 1, 3, 1, 2), torch.zeros(1, 1, 3, dtype=torch.int64))[0, 0]
    assert (box[:2] > box[2:]).all()


def test_traces_belong_to_every_word_and_a_box_to_the_last():
    traces = torch.full((1, 2, 5, 2, 2), 12.0)
    boxes = torch.tensor([[[8.0, 9, 24, 25], [1, 2, 3, 4]]])
    points, words = RULES.targets(TOKENS, traces, None)
    assert points is traces and words.tolist() == [WORDS]
    points, words = RULES.targets(TOKENS, None, boxes)
    assert words.tolist() == [LAST]
    assert points[0, 0, 2].tolist() == [[8, 9], [24, 25]]
    assert points[0, 1, 3].tolist() == [[1, 2], [3, 4]]
    assert RULES.targets(TOKENS, None, None) is None


def test_boxes_are_targets_of_images_without_traces_only():
    tokens = TOKENS.expand(2, -1, -1)
    boxes = torch.tensor([[[8.0, 8, 24, 24]] * 2] * 2)
    traces = torch.zeros(2, 2, 5, 2, 2)
    traces[0] = 12.0
    points, words = RULES.targets(tokens, traces, boxes)
    assert (points[0] == 12).all() and words[0].tolist() == WORDS
    assert points[1, 0, 0].tolist() == [[8, 8], [24, 24]] and words[1].tolist() == LAST


def test_rules_can_be_others():
    rules = WordRules(1, 2, 0, trace='^begin', box='')
    boxes = torch.zeros(1, 2, 4)
    assert rules.targets(TOKENS, None, boxes)[1].all()
    assert rules.targets(TOKENS, torch.zeros(1, 2, 5, 2, 2), None)[1].sum() == 2
    with pytest.raises(ValueError, match='nouns'):
        WordRules(1, 2, 0, box='nouns').targets(TOKENS, None, boxes)
