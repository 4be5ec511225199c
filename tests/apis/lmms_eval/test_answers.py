import numpy as np
import pytest
from pytest import approx

from flmm.apis.lmms_eval import answers


@pytest.mark.parametrize(
    'text', ['', 'It is at the left.', '[]', '{"masks": 3}', '{"masks": [1, {"size": [9, 9]}]}',
             '{"masks": [{"size": [4, 8], "counts": [1, -1]}]}', '[' * 100_000],
)  # fmt: skip
def test_prose_and_nonsense_are_empty_masks(text):
    assert not answers.masks_of_text(text, 2, (4, 8)).any()


def test_masks_survive_the_way_through_text():
    masks = np.random.default_rng(0).random((3, 4, 8)) > 0.5
    text = answers.masks_as_text(masks)
    assert np.array_equal(answers.masks_of_text(text, 3, (4, 8)), masks)
    # One too few is an empty mask, one too many is left out.
    assert not answers.masks_of_text(text, 4, (4, 8))[3].any()
    assert answers.masks_of_text(text, 2, (4, 8)).shape == (2, 4, 8)


def test_tasks_score_as_the_project_does(doc):
    half = np.zeros((2, 4, 8), bool)
    half[:, :, :4] = True  # right for the cat, wrong for the sky
    entry = answers.count_pixels(doc, answers.masks_as_text(half))
    assert entry['intersection'] == [0, 16]
    assert answers.score_entries([entry], 'res', 'miou') == approx(50)
    assert answers.score_entries([entry], 'res', 'ciou') == approx(100 * 16 / (32 + 16))
    assert answers.score_entries([entry], 'png', 'accuracy@0.5') == approx(50)
    assert answers.score_entries([answers.count_pixels(doc, 'no')], 'res', 'ciou') == 0
