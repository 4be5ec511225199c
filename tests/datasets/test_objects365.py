"""Objects365 with bootstrapped captions: what a line can be asked about."""

import pytest
from instruction_files import instructions_of, pairs_of, write

from flmm.datasets import Objects365Dataset


def line(**changed):
    return {
        'image_id': 'patch0/a.jpg',
        'anno': [
            {'id': 1, 'bbox': [20, 10, 60, 40], 'category_name': 'car', 'ignore': 0},
            {'id': 2, 'bbox': [100, 50, 200, 100], 'category_name': 'car', 'ignore': 0},
            {'id': 3, 'bbox': [0, 0, 200, 100], 'category_name': 'crowd', 'ignore': 1},
        ],
        'pred': [{'object_id': 0, 'caption': 'a red car', 'bbox': [20, 10, 60, 40]}],
        'generate_caption': 'Two cars.',
        **changed,
    }


def build(tmp_path, *lines, **options):
    return Objects365Dataset(
        write(tmp_path / 'k.jsonl', lines, lines=True), str(tmp_path), **options
    )


def test_kept_captions_are_asked_for_and_asked_about(tmp_path):
    dataset = build(tmp_path, line(), tasks=['grounding', 'region_caption'])
    box = '[0.100,0.100,0.300,0.400]'
    pairs = pairs_of(dataset)
    assert {answer for _, answer in pairs} == {box, 'a red car'}
    assert any('<des>a red car</des>' in request for request, _ in pairs)
    assert dataset[0].image_path.endswith('patch0/a.jpg')


def test_ignored_objects_are_not_counted(tmp_path):
    dataset = build(tmp_path, line(), tasks=['counting'])
    assert {answer for _, answer in pairs_of(dataset)} == {'2'}
    detection = build(tmp_path, line(), tasks=['detection'])
    # The smaller one first.
    assert {answer for _, answer in pairs_of(detection)} == {
        '[0.100,0.100,0.300,0.400] [0.500,0.500,1.000,1.000]'
    }


def test_tasks_that_a_line_has_nothing_for_are_drawn_again(tmp_path):
    bare = line(pred=[])
    asked = instructions_of(build(tmp_path, bare, tasks=['grounding', 'caption']))
    assert {one.template for one in asked} == {'caption'}
    assert build(tmp_path, bare, tasks=['grounding'])[0].reason == 'no_phrase'
    with pytest.raises(ValueError, match='tasks'):
        build(tmp_path, bare, tasks=['relation'])


def test_an_empty_caption_of_the_image_is_not_learnt(tmp_path):
    bare = line(generate_caption='')
    dataset = build(tmp_path, bare, tasks=['caption', 'counting'])
    assert {answer for _, answer in pairs_of(dataset)} == {'2'}
    assert build(tmp_path, bare, tasks=['caption'])[0].reason == 'no_phrase'
