"""Flickr30k Entities as grounded captions: boxes after the phrases they belong to."""

from instruction_files import pairs_of, write

from flmm.datasets import Flickr30kGroundedCaptions

LINE = {
    'image_id': 11,
    'sentence': '<ph_st>Two dogs<ph_ed> near <ph_st>a man<ph_ed> .',
    'boxes': [[0, 0, 100, 50], [0, 0, 20, 10], [20, 10, 60, 40]],
    'boxes_seq': [[0, 1], [2]],
}


def build(tmp_path, line=LINE, **options):
    path = write(tmp_path / 'f.jsonl', [line], lines=True)
    return Flickr30kGroundedCaptions(path, str(tmp_path), **options)


def test_boxes_follow_their_phrase_the_smallest_first(tmp_path):
    ((_, answer),) = pairs_of(build(tmp_path))
    assert answer == (
        'Two dogs [0.000,0.000,0.100,0.100] [0.000,0.000,0.500,0.500] near '
        'a man [0.100,0.100,0.300,0.400] .'
    )


def test_the_caption_alone_and_as_reference(tmp_path):
    dataset = build(tmp_path, boxes=False)
    assert {answer for _, answer in pairs_of(dataset)} == {'Two dogs near a man .'}
    assert dataset[0].meta['references'] == ['Two dogs near a man .']
    assert dataset[0].image_path.endswith('/11.jpg')


def test_boxes_for_another_number_of_phrases_are_named(tmp_path):
    item = build(tmp_path, {**LINE, 'boxes_seq': [[0]]})[0]
    assert item.reason == 'annotation_invalid'
    assert '2 phrases are marked, boxes_seq has 1' in item.detail
