"""What the proposals' own numbers are; test_dense_box_head.py has the head within the detector."""

import math

import pytest
import torch

from flmm.models.box_heads import CenterNetProposals


def head(strides=(8,), ranges=((0, 1000),), **options):
    return CenterNetProposals(32, strides, ranges, channels=32, num_layers=1, **options)


def maps(values, height, width):
    """``(B, C, h, w)`` of values per image and channel, each the cells in reading order."""
    return torch.tensor(values, dtype=torch.float32).unflatten(-1, (height, width))


def sides(*left_top_right_bottom):
    """``(1, 4, 1, n)``: the distances of n cells in a row."""
    return torch.tensor(left_top_right_bottom).float().T[None, :, None]


def test_a_cell_stands_for_its_middle():
    middles, strides = head((8, 16), ((0, 9), (9, 99))).cells([(2, 2), (1, 1)])
    assert middles.tolist() == [[4, 4], [12, 4], [4, 12], [12, 12], [8, 8]]
    assert strides.tolist() == [8, 8, 8, 8, 16]


def test_at_first_every_hundredth_cell_is_an_object_and_boxes_reach_8_strides():
    proposals = head((8, 16), ((0, 9), (9, 99)))
    levels = [torch.zeros(1, 32, 2, 3), torch.zeros(1, 32, 1, 2)]
    proposals.scales.data = torch.tensor([1.0, 0.5])
    heatmaps, boxes = proposals(levels)
    assert heatmaps[0].shape == (1, 1, 2, 3) and boxes[0].shape == (1, 4, 2, 3)
    assert heatmaps[0].sigmoid().mean().item() == pytest.approx(0.01, rel=0.01)
    assert (boxes[0] == 8).all() and (boxes[1] == 4).all()
    # Never to the other side of the cell.
    proposals.scales.data = torch.tensor([-1.0, 0.5])
    assert not proposals(levels)[1][0].any()


def test_proposals_are_boxes_around_cells_the_best_first():
    # Cells in the middles (4, 4), (12, 4), (20, 4) and, of stride 16, (8, 8).
    heatmaps = [maps([[[1.0, 2.0, -1.0]]], 1, 3), maps([[[0.0]]], 1, 1)]
    boxes = [sides([1, 1, 1, 1], [0.5, 0, 1, 0.25], [1, 1, 1, 1]), sides([0.5, 0.25, 0.5, 1])]
    proposals = head((8, 16), ((0, 9), (9, 99)))
    ((found, scores),) = proposals.proposals(heatmaps, boxes, before=10, after=10)
    # The worst cell is left out, as in the release.
    assert found.tolist() == [[8, 4, 20, 6], [-4, -4, 12, 12], [0, 4, 16, 24]]
    assert scores.tolist() == pytest.approx([1 / (1 + math.exp(-x)) for x in (2, 1, 0)])
    ((found, _),) = proposals.proposals(heatmaps, boxes, before=2, after=10)
    assert len(found) == 2
    ((found, _),) = proposals.proposals(heatmaps, boxes, before=10, after=1)
    assert found.tolist() == [[8, 4, 20, 6]]


def test_a_proposal_that_overlaps_a_better_one_is_dropped():
    # (0, 0, 16, 8) from the first cell; from the second the same, or cut to its right half.
    heatmaps = [maps([[[0.0, 1.0, -9.0]]], 1, 3)]
    same = [sides([0.5, 0.5, 1.5, 0.5], [1.5, 0.5, 0.5, 0.5], [0, 0, 0, 0])]
    half = [sides([0.5, 0.5, 1.5, 0.5], [0.5, 0.5, 0.5, 0.5], [0, 0, 0, 0])]
    ((found, scores),) = head().proposals(heatmaps, same, 10, 10)
    assert found.tolist() == [[0, 0, 16, 8]] and scores.tolist() == pytest.approx([0.731], abs=1e-3)
    # The overlap is 64 / 128.
    assert len(head(nms_iou=0.51).proposals(heatmaps, half, 10, 10)[0][0]) == 2
    assert len(head(nms_iou=0.49).proposals(heatmaps, half, 10, 10)[0][0]) == 1


def test_an_object_between_two_sizes_is_found_on_both_levels():
    # Half its diagonal is 14.1; its middle is (20, 20), in the second level's cell (1, 1).
    box = torch.tensor([[10.0, 10, 30, 30]])
    for border, levels in ((14, [False, True]), (15, [True, True])):
        proposals = head((8, 16), ((0, border), (12, 99)))
        heat, _, counted = proposals.targets([(8, 8), (4, 4)], box)
        assert [bool(part.any()) for part in counted.split([64, 16])] == levels
        assert [bool((part == 1).any()) for part in heat.split([64, 16])] == levels


def test_the_peak_is_as_wide_as_its_object():
    # 64 pixels, middle (36, 36) in cell (4, 4): the squared radius is 2 * (0.2 / 1.8)^2 * 64^2.
    heat, *_ = head().targets([(8, 8)], torch.tensor([[4.0, 4, 68, 68]]))
    heat = heat.reshape(8, 8)
    assert heat[4, 4] == 1
    assert heat[4, 5] == pytest.approx(math.exp(-64 / (2 / 81 * 4096)))
    assert heat[3, 2] == pytest.approx(math.exp(-(64 + 256) / (2 / 81 * 4096)))


def test_a_cell_between_two_objects_is_that_of_the_one_it_is_nearer_to_for_its_size():
    # Cell (28, 20) is 8 pixels from both middles: 64 / 16 of the small one's squared radius,
    # which is at least 16, but only 64 / 56.9 of the large one's.
    small, large = [8.0, 8, 32, 32], [12.0, -4, 60, 44]
    for boxes in ([small, large], [large, small]):
        heat, wanted, counted = head().targets([(8, 8)], torch.tensor(boxes))
        cell = 2 * 8 + 3
        assert counted[cell] and wanted[cell].tolist() == [2, 3, 4, 3]
        assert heat[cell] == pytest.approx(math.exp(-64 / (2 / 81 * 48**2)))
        # The middles' own cells are the peaks of both.
        assert (heat == 1).nonzero()[:, 0].tolist() == [18, 20]


FOCAL = math.log(2) / 4  # log(1/2) * (1 - 1/2)^2, of a cell that is as likely as not


@pytest.mark.parametrize(
    ('predicted', 'giou'),
    [
        ([0.5, 0.5, 0.5, 0.5], 0.0),
        # Twice as wide and high around the object: it is a quarter.
        ([1, 1, 1, 1], 1 - 1 / 4),
        # From one cell to the left and above: 0.25 of 1.75 in common, in a hull of 2.25.
        ([1, 1, 0, 0], 1 - 0.25 / 1.75 + 0.5 / 2.25),
    ],
)
def test_losses_of_one_cell(predicted, giou):
    # The object fills the cell, so that its sides are half a stride away.
    logits, boxes = [torch.zeros(1, 1, 1, 1)], [sides(predicted)]
    losses = head().loss(logits, boxes, [torch.tensor([[0.0, 0, 8, 8]])])
    assert losses['loss_heatmap'].item() == pytest.approx(0.5 * 0.25 * FOCAL)
    assert losses['loss_proposals'].item() == pytest.approx(giou, abs=1e-5)
    weighed = head(heatmap_weight=2.0, box_weight=3.0)
    losses = weighed.loss(logits, boxes, [torch.tensor([[0.0, 0, 8, 8]])])
    assert losses['loss_heatmap'].item() == pytest.approx(2 * 0.25 * FOCAL)
    assert losses['loss_proposals'].item() == pytest.approx(3 * giou, abs=1e-5)


def test_losses_are_means_over_the_images():
    # The second image has no object, where its cell should be 0.
    logits, boxes = [torch.zeros(2, 1, 1, 1)], [sides([1, 1, 1, 1]).expand(2, -1, -1, -1)]
    gt_boxes = [torch.tensor([[0.0, 0, 8, 8]]), torch.zeros(0, 4)]
    losses = head().loss(logits, boxes, gt_boxes)
    assert losses['loss_heatmap'].item() == pytest.approx(0.5 * (0.25 + 0.75) * FOCAL / 2)
    assert losses['loss_proposals'].item() == pytest.approx(0.75 / 2, abs=1e-5)
