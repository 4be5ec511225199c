"""A toy scene by hand, for the tests of what writes scenes into files."""

import numpy as np

from flmm.datasets.toy.scenes import COLORS, ToyObject, ToyScene

#: x0, y0, x1, y1 of the objects' masks, in pixels of a picture 40 wide and 20 high.
BOXES = [(2, 2, 8, 8), (20, 2, 30, 6), (4, 12, 10, 18), (30, 10, 36, 18)]
#: Boxes as COCO has them.
COCO_BOXES = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in BOXES]
KINDS = [('circle', 'red'), ('square', 'blue'), ('circle', 'blue'), ('star', 'green')]


def scene_by_hand(count=4):
    """Two circles, a square and a star on grass, under a sky that ends at row 10."""
    labels = np.full((20, 40), -1, np.int16)
    labels[10:] = -2
    image = np.zeros((20, 40, 3), np.uint8)
    objects = []
    for index, ((x0, y0, x1, y1), (shape, color)) in enumerate(
        list(zip(BOXES, KINDS, strict=True))[:count]
    ):
        labels[y0:y1, x0:x1] = index
        image[y0:y1, x0:x1] = COLORS[color]
        centre = ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2)
        ground = 'sky' if centre[1] < 10 else 'grass'
        objects.append(ToyObject(shape, color, 'small', 'plain', centre, 3.0, 0.0, ground))
    return ToyScene((0,), image, labels, objects, ['sky', 'grass'])


def write_one(writer, count=4, image_id=7, seed=0):
    """Let a writer write the scene as one of the split ``train``."""
    writer.add('train', image_id, scene_by_hand(count), np.random.default_rng(seed))
    writer.add('another', image_id + 1, scene_by_hand(count), np.random.default_rng(seed))
    writer.finish()
