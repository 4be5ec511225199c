"""Templates of questions, and what annotation texts may not do to them."""

import json

import pytest

from flmm.datasets.region_conversations import fill, load_templates, plain, usable_regions
from flmm.utils.errors import AnnotationError


def test_every_default_template_fills():
    for name, kinds in load_templates().items():
        for kind, texts in kinds.items():
            assert texts, (name, kind)
            values = dict.fromkeys(
                ('token', 'region', 'regions', 'number', 'name', 'categories'), 'x'
            )
            assert all('{' not in fill(text, **values) for text in texts)


def test_every_overview_shows_the_image_once():
    for kinds in load_templates().values():
        for kind in ('overview', 'described'):
            assert all(text.count('<image>') == 1 for text in kinds.get(kind, ()))


def test_a_file_replaces_single_kinds(tmp_path):
    path = tmp_path / 'mine.json'
    path.write_text(json.dumps({'vcr': {'why': ['How so?']}}))
    templates = load_templates(str(path))
    assert templates['vcr']['why'] == ['How so?']
    assert templates['vcr']['overview'] == load_templates()['vcr']['overview']


@pytest.mark.parametrize(
    ('own', 'message'),
    [({'vcr': {'wy': ['x']}}, 'no kind of template'), ({'vcr': {'why': []}}, 'list of texts')],
)
def test_templates_that_fit_nowhere_are_refused(own, message):
    with pytest.raises(AnnotationError, match=message):
        load_templates(own)


def test_values_are_not_read_as_templates():
    assert fill('{a} {b}', a='{b}', b='x') == '{b} x'
    with pytest.raises(ValueError, match='there are'):
        fill('{c}', a='x')


def test_annotations_cannot_spell_placeholders():
    assert '<region>' not in plain('a <region> <image>')
    for bad in ('', '  ', None, 3):
        with pytest.raises(ValueError, match='text is expected'):
            plain(bad)


def test_boxes_are_clipped_and_what_is_left_out_is_named():
    annotations = [
        {'id': 1, 'bbox': [-5, 10, 15, 20]},
        {'id': 2, 'bbox': [0, 0, 50, 50], 'iscrowd': 1},
        {'id': 3, 'bbox': [99.5, 0, 20, 50]},
    ]
    kept, dropped = usable_regions(annotations, 100, 80, min_share=0.01)
    assert [box for _, box in kept] == [(0, 10, 10, 30)]
    assert dropped == [('annotation 2', 'crowd'), ('annotation 3', 'too_small')]
    with pytest.raises(ValueError, match='four numbers'):
        usable_regions([{'id': 4, 'bbox': [1, 2]}], 100, 80, 0.01)


def test_without_the_image_s_size_only_what_is_no_pixel_is_too_small():
    annotations = [{'id': 1, 'bbox': [-5, 3, 8, 1]}, {'id': 2, 'bbox': [0, 0, 9, 0.5]}]
    kept, dropped = usable_regions(annotations, None, None, min_share=0.5)
    assert [box for _, box in kept] == [(0, 3, 3, 4)]
    assert dropped == [('annotation 2', 'too_small')]
