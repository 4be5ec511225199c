import pytest
from pytest import approx

from flmm.evaluation.analysis import group_phrases, scored_phrases


def line(*phrases, size=(100, 100), skipped=''):
    """A line of phrases (text, intersection, union, area, box, category)."""
    keys = ('text', 'box_xyxy', 'category')
    described = [dict(zip(keys, (p[0], p[4], p[5]), strict=True)) for p in phrases]
    entry = {
        'intersection': [p[1] for p in phrases],
        'union': [p[2] for p in phrases],
        'gt_area': [p[3] for p in phrases],
        'pixels': [0 if skipped else size[0] * size[1] for _ in phrases],
    }
    record = {'phrases': described, 'entries': {'res': entry}}
    return record if skipped else {**record, 'size': list(size)}


LINES = [
    line(
        ('a dog', 50, 100, 99, [0, 0, 10, 10], 'dog'),
        ('the small brown dog on the left', 10, 100, 900, [40, 40, 60, 60], 'dog'),
        ('sky', 90, 100, 6000, [0, 60, 100, 100], 'sky'),
    ),
    line(('a cat', 0, 30, 30, None, 'cat'), skipped='image_unreadable'),
]


def groups(kind, **options):
    found = group_phrases(scored_phrases(LINES, 'res'), **options)[kind]
    return {group.name: (group.count, approx(group.miou)) for group in found}


def test_by_mask_size():
    # Shares 0.99 %, 9 % and 60 % of 10,000 pixels; the image of the cat is not known.
    assert groups('mask size (share of the image)') == {
        '< 1 %': (1, 50.0),
        '5–20 %': (1, 10.0),
        '≥ 50 %': (1, 90.0),
        'unknown': (1, 0.0),
    }
    assert groups('mask size (COCO)') == {'small': (3, 20.0), 'medium': (1, 90.0)}


def test_by_words_and_position():
    assert groups('words') == {'1': (1, 90.0), '2': (2, 25.0), '6–8': (1, 10.0)}
    assert groups('position') == {
        'top left': (1, 50.0),
        'middle centre': (1, 10.0),
        'bottom centre': (1, 90.0),
        'unknown': (1, 0.0),
    }


def test_by_category_the_worst_first_and_rare_ones_together():
    assert list(groups('category').items()) == [
        ('cat', (1, 0.0)),
        ('dog', (2, 30.0)),
        ('sky', (1, 90.0)),
    ]
    assert groups('category', num_categories=1) == {'dog': (2, 30.0), 'other': (2, 45.0)}


def test_the_share_of_good_masks_counts_one_half_as_good():
    phrases = scored_phrases(LINES, 'res')
    [dog] = [g for g in group_phrases(phrases)['category'] if g.name == 'dog']
    assert dog.precision == 50.0


def test_lines_without_counts_of_masks_are_refused():
    with pytest.raises(ValueError, match='no counts of masks'):
        scored_phrases([{'entries': {'res': {'iou': [1.0]}}}], 'res')


def test_phrases_that_name_nothing_are_a_group_of_their_own():
    lines = [
        line(('a cow', 0, 0, 0, None, ''), ('a pig', 0, 9, 0, None, '')),
        line(('a hen', 0, 0, 0, None, ''), skipped='image_unreadable'),
    ]
    found = group_phrases(scored_phrases(lines, 'res', empty_iou=1.0))
    for kind in ('mask size (share of the image)', 'mask size (COCO)', 'position'):
        assert [(g.name, g.count, g.miou) for g in found[kind]] == [
            ('no target', 2, approx(50.0)),
            ('unknown', 1, approx(0.0)),
        ]
    # RES counts two empty masks 0.
    assert [p.iou for p in scored_phrases(lines, 'res')] == [0.0, 0.0, 0.0]
