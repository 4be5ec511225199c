import numpy as np
import pytest
import torch
from PIL import Image

from flmm.datasets.transforms import (
    AddCrayonMap,
    DescribeSegments,
    LoadPanoptic,
    NameImage,
    OpenLastTurn,
)
from flmm.structures import GroundingSample, ImageGrid, LMMInputs, PanopticMap, Segment, Turn

IDS = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 3, 3], [0, 0, 3, 3]])
MAP = PanopticMap(IDS, (Segment(1, 0), Segment(2, 1), Segment(3, 0)))


def sample_with(*grids):
    inputs = LMMInputs(torch.arange(9), torch.full((9,), -1), tuple(grids), (4, 4))
    return GroundingSample('x/1', prompt='<image>\nWhat?', panoptic=MAP, lmm_inputs=inputs)


def grid(rows, columns, box):
    return ImageGrid(torch.arange(rows * columns).view(rows, columns), box)


def test_the_map_of_a_segmenter_is_reduced_to_a_grid():
    sample = GroundingSample('x/1', image=Image.new('RGB', (4, 4)))
    assert LoadPanoptic(lambda _: MAP)(sample).panoptic is MAP
    reduced = LoadPanoptic(lambda _: MAP, grid=(2, 2))(sample).panoptic
    assert reduced.ids.tolist() == [[1, 2], [0, 3]]


def test_the_text_comes_between_image_and_question():
    sample = DescribeSegments(('cat', 'dog-merged'), '{objects}. ', 'None. ')(sample_with())
    assert sample.prompt == (
        '<image>\n(#1 cat) [0.00, 0.00, 0.50, 0.50], (#1 dog) [0.50, 0.00, 1.00, 0.50], '
        '(#2 cat) [0.50, 0.50, 1.00, 1.00]. What?'
    )
    sample.panoptic, sample.prompt = PanopticMap(np.zeros((2, 2), int)), 'What?'
    assert DescribeSegments(('cat',), '{objects}. ', 'None. ')(sample).prompt == 'None. What?'


def test_of_a_conversation_the_first_request_is_described():
    sample = sample_with()
    sample.turns = [Turn('What?', 'a cat'), Turn('Where?', 'here')]
    describe = DescribeSegments(('cat', 'dog'), 'Seen: {objects}. ', 'None. ')
    first, second = describe(sample).turns
    assert first.request.startswith('Seen: (#1 cat) [0.00') and first.request.endswith(' What?')
    assert second == Turn('Where?', 'here')


def test_talk_without_an_image_stays_as_it_is():
    sample = GroundingSample('x/1', turns=[Turn('What?', 'a cat')])
    for step in (LoadPanoptic(lambda _: MAP), DescribeSegments(('cat',)), NameImage()):
        assert step(sample).turns == [Turn('What?', 'a cat')] and sample.panoptic is None


def test_the_image_is_named_once_and_the_last_answer_can_be_opened():
    sample = GroundingSample('x/1', image=Image.new('RGB', (4, 4)))
    sample.turns = [Turn('What?', 'a cat'), Turn('Where?', 'here')]
    named = NameImage()(NameImage()(sample)).turns
    assert [turn.request for turn in named] == ['<image>\nWhat?', 'Where?']
    assert [turn.answer for turn in OpenLastTurn()(sample).turns] == ['a cat', None]


def test_each_cell_of_each_grid_gets_its_indices():
    sample = AddCrayonMap(num_classes=2)(
        sample_with(grid(1, 2, (0, 0, 4, 2)), grid(2, 2, (0, -4, 4, 4)))
    )
    tensors = sample.lmm_inputs.tensors
    # The second grid is padded above; of its lower row the cells are centred in row 2.
    assert tensors['crayon_classes'].tolist() == [[1, 2, 0, 0, 0, 1]]
    assert tensors['crayon_instances'].tolist() == [[1, 1, 0, 0, 0, 2]]


def test_controls_take_the_place_or_everything_away():
    make = grid(4, 4, (0, 0, 4, 4))
    right = AddCrayonMap(2)(sample_with(make)).lmm_inputs.tensors
    shuffled = AddCrayonMap(2, control='shuffled')(sample_with(make)).lmm_inputs.tensors
    again = AddCrayonMap(2, control='shuffled')(sample_with(make)).lmm_inputs.tensors
    empty = AddCrayonMap(2, control='empty')(sample_with(make)).lmm_inputs.tensors
    pairs = [
        sorted(zip(t['crayon_classes'][0].tolist(), t['crayon_instances'][0].tolist(), strict=True))
        for t in (right, shuffled)
    ]
    assert pairs[0] == pairs[1]
    assert not torch.equal(right['crayon_classes'], shuffled['crayon_classes'])
    assert torch.equal(again['crayon_classes'], shuffled['crayon_classes'])
    assert not empty['crayon_classes'].any() and empty['crayon_classes'].shape == (1, 16)
    with pytest.raises(ValueError, match='control'):
        AddCrayonMap(control='other')


def test_what_is_missing_before_it_is_said():
    sample = sample_with(grid(1, 1, (0, 0, 4, 4)))
    sample.panoptic = None
    with pytest.raises(ValueError, match='LoadPanoptic'):
        AddCrayonMap()(sample)
    sample.lmm_inputs = None
    with pytest.raises(ValueError, match='behind PrepareLMMInputs'):
        AddCrayonMap()(sample)
    text_only = sample_with()
    assert AddCrayonMap()(text_only).lmm_inputs.tensors == {}
