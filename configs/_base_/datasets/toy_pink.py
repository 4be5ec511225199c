"""Pink's kinds of data from the toy world, under ``data/toy_pink``, and what they are scored by.

Made by ``tools/prepare_data/make_toy.py data/toy_pink --formats refcoco visual_genome objects365
visual7w pointqa --num-train 4000 --num-val 100``. What is bootstrapped are other scenes, under
``data/toy_pink_boxes``; see docs/pink.md.
"""

from flmm.datasets import RefCOCODataset, ReferringBoxes, VisualGenomeDataset
from flmm.evaluation.metrics import AnswerMetric, BoardBoxReader, RECMetric

toy_root = 'data/toy_pink'
# A tiny model reads short requests better; "Where is ...", "How many ..." and "Is ... left or
# right" it knows. No space before a field: the tokenizer puts one in front of what follows a mark.
questions = dict(
    grounding=['Where is{expr}'],
    region_caption=['What is{objs}'],
    region_description=['Describe{objs}'],
    relation=['Is{object1} left or right of{object2}'],
    related_boxes=['{object} is {relation}?'],
    related_names=['{object} is {relation} a?'],
    related_boxes_names=['{object} is {relation} the?'],
    place_boxes_names=['What is at the {loc} of{object}'],
    place_names=['A picture at the {loc} of{object}'],
    place_boxes=['Where is at the {loc} of{object}'],
    detect=['Where are{category}'],
    detect_like=['Where are some{object}'],
    count=['How many{category} are there?'],
    count_like=['How many{object} are there?'],
    caption=['What can be seen in this picture?'],
    grounded_caption=['Describe this image.'],
    question=['{question}'],
    open_question=['{question}'],
    choice=['{question} {option}'],
)
_files = {
    (name, split): dict(
        type=RefCOCODataset,
        ann_file=f'{toy_root}/{name}/instances.json',
        split_file=f'{toy_root}/{name}/refs({by}).p',
        image_root=f'{toy_root}/train2014',
        split=split,
        sentence='all' if split == 'train' else 'first',
        concat=split == 'train',
        name=name.replace('+', '_plus'),
    )
    for name, by, splits in (
        ('refcoco', 'unc', ('train', 'val', 'testA', 'testB')),
        ('refcoco+', 'unc', ('train', 'val')),
        ('refcocog', 'umd', ('train', 'val')),
    )
    for split in splits
}
_rec = {
    key: dict(
        type=ReferringBoxes,
        ask='both' if key[1] == 'train' else 'box',
        turns=12 if key[1] == 'train' else 1,
        per_object=3,
        source=source,
    )
    for key, source in _files.items()
}
_genome = {
    split: dict(
        type=VisualGenomeDataset,
        ann_file=f'{toy_root}/visual_genome/{split}/region_descriptions.json',
        objects_file=f'{toy_root}/visual_genome/{split}/objects.json',
        relationships_file=f'{toy_root}/visual_genome/{split}/relationships.json',
        image_root=f'{toy_root}/visual_genome/VG_100K',
    )
    for split in ('train', 'val')
}
train_datasets = dict(
    visual_genome=dict(
        _genome['train'],
        # Many questions about one picture: reading it is what costs time.
        turns=16,
        # More often what the other sets do not ask, and what is in a box: counting needs it.
        tasks=[
            *['predicate'] * 3,
            *['counting'] * 8,
            *['region_caption'] * 4,
            *('detection', 'detection', 'grounding', 'grounding'),
        ],
    ),
    refcoco=_rec['refcoco', 'train'],
    refcoco_plus=_rec['refcoco+', 'train'],
    refcocog=_rec['refcocog', 'train'],
)
train_weights = 'visual_genome:3@refcoco@refcoco_plus@refcocog'
test_datasets = dict(
    rec_refcoco=_rec['refcoco', 'val'],
    rec_refcoco_plus=_rec['refcoco+', 'val'],
    rec_refcocog=_rec['refcocog', 'val'],
    counting=dict(_genome['val'], tasks=['counting'], name='counting'),
    relation=dict(_genome['val'], tasks=['predicate'], name='relation'),
    rec_refcoco_testA=_rec['refcoco', 'testA'],
    rec_refcoco_testB=_rec['refcoco', 'testB'],
)
test_evaluator = {
    task: [
        dict(
            type=RECMetric,
            reader=dict(type=BoardBoxReader),
            prefix=task,
        )
        if task.startswith('rec')
        else dict(type=AnswerMetric, rule='exact', prefix=task)
    ]
    for task in test_datasets
}
# Captions of boxes that tools/bootstrap.py confirmed; see docs/pink.md.
bootstrapped = dict(
    ann_file='work_dirs/bootstrap/kept.jsonl', image_root='data/toy_pink_boxes/objects365/train'
)
del _files, _rec, _genome
