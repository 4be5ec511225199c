"""The classes of COCO panoptic segmentation: what segmenters' labels mean."""

from flmm.datasets.coco_panoptic_names import COCO_PANOPTIC_NAMES


def test_things_come_before_stuff_and_each_name_once():
    assert len(COCO_PANOPTIC_NAMES) == 133 == len(set(COCO_PANOPTIC_NAMES))
    assert all(name == name.strip() and name for name in COCO_PANOPTIC_NAMES)
    # The last thing and the first kind of stuff.
    assert COCO_PANOPTIC_NAMES[79:81] == ('toothbrush', 'banner')


def test_labels_are_those_of_the_published_segmenters():
    """Places that COCO's panoptic_coco_categories.json gives, counted without its gaps."""
    places = {'person': 0, 'traffic light': 9, 'dog': 16, 'teddy bear': 77, 'sky-other-merged': 119}
    assert {name: COCO_PANOPTIC_NAMES.index(name) for name in places} == places
    assert COCO_PANOPTIC_NAMES[-1] == 'rug-merged'
    merged = [name for name in COCO_PANOPTIC_NAMES if name.endswith('-merged')]
    # Merged classes are the last ones of the list.
    assert COCO_PANOPTIC_NAMES[-len(merged) :] == tuple(merged)
