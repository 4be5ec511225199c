"""Flickr30k Entities of a scene by hand: every marked phrase has a box."""

import re
from xml.etree import ElementTree

from toy_by_hand import BOXES, write_one

from flmm.datasets.toy.writers.flickr30k import Flickr30kWriter


def test_marked_phrases_have_boxes_counted_from_one(tmp_path):
    write_one(Flickr30kWriter(tmp_path))
    root = tmp_path / 'flickr30k'
    assert (root / 'train.txt').read_text() == '7\n' and (root / 'val.txt').read_text() == ''
    sentences = (root / 'Sentences/7.txt').read_text()
    assert len(sentences.splitlines()) == 2
    marked = set(re.findall(r'\[/EN#(\d+)/other [^\]]+\]', sentences))
    tree = ElementTree.parse(root / 'Annotations/7.xml')
    boxes = {}
    for item in tree.iter('object'):
        corners = [int(item.find(f'bndbox/{key}').text) for key in ('xmin', 'ymin', 'xmax', 'ymax')]
        boxes.setdefault(item.find('name').text, []).append(tuple(corners))
    assert set(boxes) == marked
    # The last pixel is part of the box, and the first one is number 1.
    known = {(x0 + 1, y0 + 1, x1, y1) for x0, y0, x1, y1 in BOXES}
    assert {corners for own in boxes.values() for corners in own} <= known
    assert [tree.find(f'size/{side}').text for side in ('width', 'height')] == ['40', '20']
