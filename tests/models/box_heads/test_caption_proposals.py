import pytest
import torch

from flmm.models.box_heads.caption_proposals import CaptionedPlaces, find_places, propose_places
from flmm.models.box_heads.roi_box_head import match_boxes

NOBODY, LOW, HIGH = [70.0, 70, 90, 90], [0.0, 0, 10, 10], [20.0, 20, 40, 40]
#: Overlap of 9 / 10 with LOW and of 19 / 20 with HIGH.
NEAR_LOW, NEAR_HIGH = [0.0, 0, 10, 9], [21.0, 20, 40, 40]


class Finder:
    """A box head that proposes what it is told to, image by image."""

    def __init__(self, *proposals):
        self.proposals = [torch.tensor(boxes).reshape(-1, 4) for boxes in proposals]
        self.seen = None

    def loss(self, features, image_shapes, gt_boxes):
        self.seen = features[:, 0, 0, 0].tolist(), image_shapes, [b.tolist() for b in gt_boxes]
        return {'loss_box': features.sum()}, self.proposals

    def match(self, boxes, gt_boxes):
        return match_boxes(boxes, gt_boxes, 0.6)

    def predict(self, features, image_shapes):
        return [(boxes, torch.full((len(boxes),), 0.5)) for boxes in self.proposals]


def propose(head, boxes, valid, detect, count):
    """The images have the features 0, 1, 2, ..., all of one canvas."""
    images = len(boxes)
    features = torch.arange(images).float()[:, None, None, None].expand(images, 1, 1, 1)
    args = torch.tensor(boxes), torch.tensor(valid), torch.tensor(detect)
    return propose_places(head, features, (64, 96), *args, count)


def test_proposals_that_show_an_object_come_first_and_get_its_caption():
    head = Finder([NOBODY, NEAR_HIGH, NEAR_LOW])
    # The first caption does not count, though a proposal lies on its place.
    losses, places = propose(head, [[NOBODY, LOW, HIGH]], [[0, 1, 1]], [True], 5)
    assert places.boxes_xyxy[0, :3].tolist() == [NEAR_HIGH, NEAR_LOW, NOBODY]
    assert places.rows[0, :2].tolist() == [2, 1]
    assert places.valid.tolist() == [[1, 1, 0, 0, 0]]
    assert not places.boxes_xyxy[0, 3:].any()
    assert set(losses) == {'loss_box'}
    assert head.seen == ([0.0], [(64, 96)], [[LOW, HIGH]])


def test_no_more_places_than_asked_for():
    head = Finder([NOBODY, NEAR_HIGH, NEAR_LOW])
    _, places = propose(head, [[LOW, HIGH]], [[1, 1]], [True], 1)
    assert places.boxes_xyxy.tolist() == [[NEAR_HIGH]] and places.rows.tolist() == [[1]]


def test_an_image_that_is_not_for_detection_keeps_its_places():
    head = Finder([NEAR_HIGH])
    given = [[LOW, HIGH, NOBODY], [NOBODY, HIGH, LOW]]
    _, places = propose(head, given, [[1, 0, 1], [0, 1, 0]], [False, True], 2)
    assert places.boxes_xyxy[0].tolist() == [LOW, HIGH]
    assert places.rows[0].tolist() == [0, 1] and places.valid.tolist() == [[1, 0], [1, 0]]
    # The box head has seen the second image alone, and its proposal is that image's.
    assert head.seen == ([1.0], [(64, 96)], [[HIGH]])
    assert places.boxes_xyxy[1, 0].tolist() == NEAR_HIGH and places.rows[1, 0] == 1


def test_without_an_image_for_detection_the_box_head_learns_nothing():
    head = Finder()
    losses, places = propose(head, [[LOW]], [[1]], [False], 3)
    assert losses == {} and head.seen is None
    # And nothing is filled up.
    assert places.valid.tolist() == [[1]] and places.rows.tolist() == [[0]]


def test_an_image_without_objects_has_no_place_that_counts():
    _, places = propose(Finder([NOBODY, LOW]), [[LOW, HIGH]], [[0, 0]], [True], 2)
    assert places.valid.tolist() == [[0, 0]]
    # Each has some caption nevertheless, so that tensors keep their shapes.
    assert places.captions(torch.zeros(1, 2, 7)).shape == (1, 2, 7)


def test_captions_are_put_in_the_order_of_the_places():
    rows = torch.tensor([[1, 1, 0], [2, 0, 2]])
    places = CaptionedPlaces(torch.zeros(2, 3, 4), rows, torch.ones(2, 3))
    tokens = torch.tensor([[[10], [11], [12]], [[20], [21], [22]]])
    assert places.captions(tokens)[..., 0].tolist() == [[11, 11, 10], [22, 20, 22]]
    assert places.captions(None) is None


def test_places_are_those_given_or_those_found():
    features = torch.zeros(2, 1, 1, 1)
    given = torch.tensor([[LOW, HIGH], [HIGH, NOBODY]])
    head = Finder([NEAR_LOW], [NEAR_HIGH, NOBODY])
    certain = find_places(head, features, (64, 96), given)
    assert [boxes.tolist() for boxes, _ in certain] == given.tolist()
    assert [scores.tolist() for _, scores in certain] == [[1, 1], [1, 1]]
    found = find_places(head, features, (64, 96), None)
    assert [boxes.tolist() for boxes, _ in found] == [[NEAR_LOW], [NEAR_HIGH, NOBODY]]
    assert [scores.tolist() for _, scores in found] == [[0.5], [0.5, 0.5]]
    with pytest.raises(ValueError, match='prompt_boxes'):
        find_places(None, features, (64, 96), None)
