"""VCR of a scene by hand: the right candidate is true, the others are not."""

import json

import numpy as np
from toy_by_hand import BOXES, KINDS, scene_by_hand, write_one

from flmm.datasets.toy.writers.vcr import VCRWriter, _candidates


def lines_of(tmp_path, **options):
    write_one(VCRWriter(tmp_path), **options)
    path = tmp_path / 'vcr/train.jsonl'
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_right_answer_and_reason_are_true_of_the_object(tmp_path):
    lines = lines_of(tmp_path)
    assert len(lines) == 3  # of four objects
    for line in lines:
        (index,) = next(token for token in line['question'] if isinstance(token, list))
        shape, color = KINDS[index]
        answer = line['answer_choices'][line['answer_label']]
        assert answer == line['answer']
        asked = 'color' if 'color' in line['question'] else 'shape'
        assert {'color': color, 'shape': shape}[asked] in answer
        reason = line['rationale_choices'][line['rationale_label']]
        assert reason == line['rationale'] and color in reason and shape in reason
        # Four different candidates each.
        assert len({str(choice) for choice in line['answer_choices']}) == 4
        assert len({str(choice) for choice in line['rationale_choices']}) == 4


def test_boxes_stand_beside_the_picture(tmp_path):
    line = lines_of(tmp_path)[0]
    metadata = json.loads((tmp_path / 'vcr/vcr1images' / line['metadata_fn']).read_text())
    assert [tuple(box[:4]) for box in metadata['boxes']] == BOXES
    assert (metadata['width'], metadata['height']) == (40, 20)
    assert (tmp_path / 'vcr/vcr1images' / line['img_fn']).is_file()


def test_candidates_hold_the_right_value_at_any_place():
    places = []
    for seed in range(200):
        values, place = _candidates(np.random.default_rng(seed), tuple('abcdef'), 'c')
        assert values[place] == 'c' and len(set(values)) == 4
        places.append(place)
    # A quarter of 200 each, four standard deviations.
    assert all(25 < places.count(place) < 75 for place in range(4))


def test_an_empty_scene_asks_nothing(tmp_path):
    writer = VCRWriter(tmp_path)
    writer.add('train', 1, scene_by_hand(0), np.random.default_rng(0))
    writer.finish()
    assert (tmp_path / 'vcr/train.jsonl').read_text() == ''
