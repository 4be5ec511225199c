"""Expressions with boxes as questions, one by one or as a conversation about an image."""

import pytest
from instruction_files import pairs_of, write

from flmm.datasets import ExpressionBoxesDataset, ReferringBoxes
from flmm.datasets.base import GroundingDataset
from flmm.structures import GroundingSample, Phrase
from flmm.utils.errors import AnnotationError

BOXES = {1: [20, 10, 60, 40], 2: [100, 50, 200, 100], 3: [0, 0, 20, 10]}
PHRASES = [('a cat', 1), ('the grey cat', 1), ('a dog', 2), ('a mouse', 3)]


class Scenes(GroundingDataset):
    """One image whose phrases are given."""

    def __init__(self, phrases=PHRASES, with_boxes=True):
        super().__init__('scenes')
        self.phrases = [
            Phrase(text, meta={'ann_id': key, **({'box_xyxy': BOXES[key]} if with_boxes else {})})
            for text, key in phrases
        ]

    def __len__(self):
        return 1

    def set_epoch(self, epoch):
        self.epoch = epoch

    def sample_id(self, index):
        return f'scenes/{index}'

    def read_sample(self, index):
        return GroundingSample(
            self.sample_id(index),
            image_path='a.jpg',
            phrases=list(self.phrases),
            meta={'image_id': 4},
        )


def test_lists_of_expressions_are_asked_either_way(tmp_path):
    entry = {'image_id': 'x.jpg', 'sentence': 'a cat', 'bbox': [20, 10, 60, 40]}
    path = write(tmp_path / 'e.json', [entry])
    answers = {
        ask: {answer for _, answer in pairs_of(ExpressionBoxesDataset(path, '.', ask))}
        for ask in ('box', 'description', 'both')
    }
    box = '[0.100,0.100,0.300,0.400]'
    assert answers == {'box': {box}, 'description': {'a cat'}, 'both': {box, 'a cat'}}
    with pytest.raises(ValueError, match='ask must be'):
        ExpressionBoxesDataset(path, '.', 'anything')
    with pytest.raises(AnnotationError, match='expected a list'):
        ExpressionBoxesDataset(write(tmp_path / 'd.json', {}), '.')


def test_one_phrase_of_a_source_keeps_ids_and_truth():
    sample = ReferringBoxes(Scenes(PHRASES[:1]))[0]
    assert (sample.sample_id, sample.image_path, sample.meta['image_id']) == (
        'scenes/0',
        'a.jpg',
        4,
    )
    assert sample.phrases[0].meta['ann_id'] == 1
    assert sample.meta['box_xyxy'] == BOXES[1]


def test_a_conversation_asks_about_each_object_once():
    dataset = ReferringBoxes(Scenes(), turns=3)
    said = set()
    for epoch in range(30):
        dataset.set_epoch(epoch)
        boxes = [tuple(one['truth']['box_xyxy']) for one in dataset[0].meta['instructions']]
        assert sorted(boxes) == sorted(map(tuple, BOXES.values()))
        said |= {one['phrase'][0] for one in dataset[0].meta['instructions']}
    # Over the epochs every expression comes.
    assert said == {text for text, _ in PHRASES}
    assert len(ReferringBoxes(Scenes(), turns=2)[0].meta['instructions']) == 2


def test_an_object_may_be_asked_about_more_often():
    asked = ReferringBoxes(Scenes(), turns=12, per_object=3)[0].meta['instructions']
    assert sorted(one['phrase'][0] for one in asked) == sorted(text for text, _ in PHRASES)


def test_several_phrases_without_turns_and_phrases_without_boxes_are_named():
    item = ReferringBoxes(Scenes())[0]
    assert item.reason == 'annotation_invalid' and 'concat=False' in item.detail
    item = ReferringBoxes(Scenes(with_boxes=False), turns=2)[0]
    assert '4 of them without a box' in item.detail
