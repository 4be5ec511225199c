"""The steps of a captioner of places, with parts that are sums and copies."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseDataPreprocessor

from flmm.models.place_captioner import PlaceCaptioner


class Captioner(PlaceCaptioner):
    """The steps alone."""

    def __init__(self):
        super().__init__(BaseDataPreprocessor())  # by its name the registry would import all models

    def forward(self, inputs, samples, mode='loss'):
        raise AssertionError('the steps are called one by one')


class Prompts:
    """Prompts are the boxes; every cell's position is its row, a missing mask is 7."""

    def __call__(self, canvas, boxes_xyxy):
        self.canvas = canvas
        return boxes_xyxy

    def dense(self, height, width):
        rows = torch.arange(float(height))[:, None, None].expand(height, width, 1)
        return rows, torch.full((1,), 7.0)


class Extractor:
    """Two tokens of a place: mean of its image's features, and its box's sum."""

    def __init__(self):
        self.looked_at = []

    def __call__(self, features, positions, prompts, masks):
        assert positions.shape[:2] == features.shape[1:3] and masks.flatten().tolist() == [7.0]
        self.looked_at.append(prompts.shape[:2])
        means = features.mean((1, 2, 3))[:, None].expand(prompts.shape[:2])
        return torch.stack([means, prompts.sum(-1)], dim=-1)[..., None], None


class PointHead(torch.nn.Module):
    """One point of each word: the first two of its channels, and of maps their mean."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, dtype=dtype))

    def forward(self, hidden, *maps):
        self.seen = (hidden.dtype, torch.is_autocast_enabled('cpu'))
        points = hidden[..., None, :2] * self.weight
        return (points + maps[0].mean((-3, -2, -1))[..., None, None] if maps else points), None


@pytest.fixture
def captioner():
    made = Captioner()
    made.prompt_encoder, made.prompt_extractor = Prompts(), Extractor()
    made.image_encoders = [
        SimpleNamespace(image_size=(48, 64)),
        SimpleNamespace(image_size=(32, 32)),
    ]
    made.relative_to, made.reads_maps, made.cells_encoder = 'image', False, None
    return made


def test_features_of_all_encoders_lie_beside_each_other():
    def encoder(value, side, channels):
        return lambda images, inside: torch.full((len(images), side, side, channels), value)

    made = Captioner()
    made.image_encoders = [encoder(1.0, 2, 3), encoder(5.0, 4, 2)]
    features = made.encode(torch.zeros(1, 3, 8, 8), torch.ones(1, 8, 8))
    # On the larger grid: the first 3 channels are 1, the last 2 are 5.
    assert features.shape == (1, 4, 4, 5)
    torch.testing.assert_close(features, torch.tensor([1.0, 1, 1, 5, 5]).expand(1, 4, 4, 5))


def test_places_read_their_own_image(captioner):
    features = torch.stack([torch.full((2, 3, 4), 1.0), torch.full((2, 3, 4), 2.0)])
    boxes = torch.tensor(
        [[[0.0, 0, 1, 1], [0, 0, 2, 2]], [[0, 0, 3, 3], [0, 0, 4, 4]]],
    )
    visual = captioner.look(features, boxes)
    # (images, places, tokens, channels): mean of the image, sum of the box.
    expected = [[[1, 2], [1, 4]], [[2, 6], [2, 8]]]
    assert visual.shape == (2, 2, 2, 1) and visual[..., 0].tolist() == expected
    # Places count in pixels of the largest encoder's input.
    assert captioner.prompt_encoder.canvas == (48, 64)
    assert captioner.prompt_extractor.looked_at == [(2, 2)]


def test_a_place_that_comes_again_is_looked_at_once(captioner):
    features = torch.stack([torch.full((2, 3, 4), 1.0), torch.full((2, 3, 4), 2.0)])
    whole, part = [0.0, 0, 8, 6], [1.0, 1, 2, 2]
    visual = captioner.look(features, torch.tensor([[whole, part, whole], [whole, whole, whole]]))
    # The same rectangle of another image is another place.
    expected = [[[1, 14], [1, 6], [1, 14]], [[2, 14], [2, 14], [2, 14]]]
    assert visual[..., 0].tolist() == expected
    assert captioner.prompt_extractor.looked_at == [(3, 1)]


def test_looking_once_and_looking_apart_have_one_gradient(captioner):
    boxes = torch.tensor([[[0.0, 0, 8, 6], [0, 0, 8, 6]]])
    features = torch.ones(1, 2, 2, 1, requires_grad=True)
    captioner.look(features, boxes).sum().backward()
    # Two places read the mean of 4 cells.
    assert features.grad.flatten().tolist() == [0.5] * 4


@pytest.mark.parametrize('context', [None, torch.tensor([[[9], [8], [7]], [[6], [5], [4]]])])
def test_captions_are_read_each_with_its_own_place(captioner, context):
    seen = {}

    def decoder(tokens, visual, context, **whole):
        seen.update(whole, context=context)
        logits = tokens[..., None].float() + visual.sum((1, 2))[:, None, None]
        return logits, logits * 10, logits[..., None]

    captioner.text_decoder = decoder
    tokens = torch.arange(24).view(2, 3, 4)
    visual = torch.zeros(2, 3, 5, 6)
    visual[1, 2] = 1  # 30 in sum
    cells = torch.rand(2, 2, 2, 6)
    logits, hidden, maps = captioner.read(visual, tokens, context, cells)
    assert logits.shape == (2, 3, 4, 1) and maps.shape == (2, 3, 4, 1, 1)
    assert logits[0, 0, :, 0].tolist() == [0, 1, 2, 3]
    assert logits[1, 2, :, 0].tolist() == [50, 51, 52, 53]
    assert hidden[1, 2, 3, 0] == 530
    assert seen['cells'] is cells
    if context is None:
        assert seen['context'] is None
    else:
        assert seen['context'].tolist() == [[9], [8], [7], [6], [5], [4]]
    captioner.read(visual, tokens)  # a text model that reads no cells is given none


def test_a_text_model_reads_the_cells_of_the_encoder_that_is_named(captioner):
    parts = [torch.zeros(1), torch.ones(1)]
    assert captioner._cells(parts) == {}
    captioner.cells_encoder = 0  # not none: the first
    assert captioner._cells(parts)['cells'] is parts[0]


@pytest.fixture
def inside():
    """A canvas 40 wide and 20 high: one image fills its left half, one lies at (10, 5)."""
    mask = torch.zeros(2, 20, 40)
    mask[0, :, :20] = 1
    mask[1, 5:15, 10:30] = 1
    return mask


@pytest.mark.parametrize(
    ('relative_to', 'expected'),
    [
        # (0.5, 0.2) of 20 x 20 at (0, 0), and of 20 x 10 at (10, 5).
        ('image', [[10, 4], [20, 7]]),
        # Of the canvas, 40 x 20.
        ('canvas', [[20, 4], [20, 4]]),
    ],
)
def test_points_are_pixels_of_the_canvas(captioner, inside, relative_to, expected):
    captioner.point_head, captioner.relative_to = PointHead(), relative_to
    hidden = torch.tensor([0.5, 0.2, 9.0]).expand(2, 3, 4, 3)
    points = captioner.locate(hidden, inside)
    assert points.shape == (2, 3, 4, 1, 2)
    wanted = torch.tensor(expected, dtype=torch.float32)[:, None, None, None]
    torch.testing.assert_close(points, wanted.expand_as(points))


@pytest.mark.parametrize(('reads_maps', 'x'), [(False, 0.25 * 40), (True, 0.75 * 40)])
def test_maps_are_read_by_a_head_that_wants_them_alone(captioner, inside, reads_maps, x):
    captioner.point_head, captioner.reads_maps = PointHead(), reads_maps
    captioner.relative_to = 'canvas'
    hidden, maps = torch.full((2, 1, 1, 2), 0.25), torch.full((2, 1, 1, 5, 3, 3), 0.5)
    assert captioner.locate(hidden, inside, maps)[0, 0, 0, 0, 0] == x


def test_points_keep_their_precision_under_autocast(captioner, inside):
    captioner.point_head, captioner.relative_to = PointHead(), 'canvas'
    hidden = torch.full((2, 1, 1, 2), 0.501, dtype=torch.bfloat16)  # 0.5 or 0.50390625 there
    with torch.autocast('cpu', torch.bfloat16):
        points = captioner.locate(hidden, inside)
    assert captioner.point_head.seen == (torch.float32, False)
    assert points.dtype == torch.float32


def test_masks_are_made_of_the_features_of_the_encoder_that_is_named(captioner):
    captioner.mask_encoder = 1
    captioner.mask_head = lambda *given: given
    parts, given = [torch.zeros(1), torch.ones(1)], ('boxes', 'visual', 'hidden')
    found = captioner._segment(parts, *given)
    assert found == (parts[1], *given, captioner.prompt_encoder, (48, 64))
