"""Visual7W of a scene by hand: which box, which colour."""

import json

from toy_by_hand import BOXES, KINDS, write_one

from flmm.datasets.derived_files import visual7w_splits
from flmm.datasets.toy.writers.visual7w import Visual7WWriter


def written(tmp_path, kind, **options):
    write_one(Visual7WWriter(tmp_path), **options)
    content = json.loads((tmp_path / f'visual7w/dataset_v7w_{kind}.json').read_text())
    return visual7w_splits(content)['train']


def test_four_boxes_to_choose_from(tmp_path):
    for seed in range(6):
        (question,) = written(tmp_path / str(seed), 'pointing', seed=seed)
        boxes = [question['answer_box'], *question['multiple_choices_box']]
        found = {(b['x'], b['y'], b['x'] + b['width'], b['y'] + b['height']) for b in boxes}
        assert found == set(BOXES)
        # What is asked for is true of the right box.
        x, y = question['answer_box']['x'], question['answer_box']['y']
        shape, _ = KINDS[[box[:2] for box in BOXES].index((x, y))]
        assert question['answer_box']['name'] == shape


def test_a_colour_is_asked_for_where_the_words_do_not_tell_it(tmp_path):
    asked = 0
    for seed in range(12):
        for question in written(tmp_path / str(seed), 'telling', seed=seed):
            asked += 1
            assert question['answer'] not in question['question']
            options = {question['answer'], *question['multiple_choices']}
            assert len(options) == 4
    assert asked


def test_a_scene_of_fewer_objects_is_left_out(tmp_path):
    assert written(tmp_path, 'pointing', count=3) == []
