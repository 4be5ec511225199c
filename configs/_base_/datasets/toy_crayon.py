"""CoLLaVO's kinds of data from the toy world, under ``data/toy_crayon``, and how they are scored.

Made by ``tools/prepare_data/make_toy.py data/toy_crayon --formats png pope --num-train 2000
--num-val 150``. Boxes are squares of a board, which the tiny LLaVA knows (decimals it does not).
"""

from flmm.datasets import PanopticQuestionsDataset, VQABenchmark
from flmm.datasets.transforms import (
    AddCrayonMap,
    BlurImage,
    LoadImage,
    LoadPanoptic,
    NameImage,
    OpenLastTurn,
    WriteTurns,
)
from flmm.evaluation.metrics import AnswerMetric, BoardBoxReader, RECMetric, VQAMetric
from flmm.models.lmms import ConversationProcessor
from flmm.models.segmenters import PanopticFiles
from flmm.utils.box_writers import BoardBoxes

toy_root = 'data/toy_crayon'
questions = dict(
    object_name=['What shape is on {objs}?'],
    object_place=['Where is the {category}?'],
    presence=['Is there a {category} in the image?'],
)
write_turns = dict(type=WriteTurns, questions=questions, marks=False, dialect=dict(type=BoardBoxes))
# Every request stands as the first does, since turns do not see each other.
conversation = dict(
    type=ConversationProcessor,
    template=dict(
        image_before='USER: {image}',
        before_request='\n',
        after_request=' ',
        before_answer='ASSISTANT: ',
    ),
)
load_image, name_image, open_last = (
    dict(type=LoadImage),
    dict(type=NameImage),
    dict(type=OpenLastTurn),
)
# The tiny LLaVA tells shapes by itself where it sees them. Segmenters have larger inputs than LMMs:
# here the LMM sees pictures of 10 pixels, the maps are those of the whole picture. At 20 pixels it
# goes on learning to tell blurred shapes for longer than these trainings take, and what a training
# without maps reaches is a matter of luck; at 10 there is little to learn.
blur = dict(type=BlurImage, side=10)
segmenters = {
    split: dict(
        type=PanopticFiles,
        panoptic_json=f'{toy_root}/annotations/panoptic_{split}2017.json',
        panoptic_root=f'{toy_root}/annotations/panoptic_{split}2017',
    )
    for split in ('train', 'val')
}
load_panoptic = {
    split: dict(type=LoadPanoptic, segmenter=segmenters[split]) for split in ('train', 'val')
}
# 6 shapes and 6 kinds of ground.
add_crayon_map = dict(type=AddCrayonMap, num_classes=12, max_instances=6)
crayon = dict(embed_channels=64, num_classes=12, max_instances=6)
_asked = dict(
    type=PanopticQuestionsDataset,
    ann_file=f'{toy_root}/annotations/panoptic_val2017.json',
    image_root=f'{toy_root}/val2017',
    unique=True,
    things_only=True,
)
train_dataset = dict(
    _asked,
    ann_file=f'{toy_root}/annotations/panoptic_train2017.json',
    image_root=f'{toy_root}/train2017',
    tasks=['name', 'place', 'presence'],
    turns=12,
)
talk_datasets = {
    task: dict(_asked, tasks=[task], turns=1, repeat=4, name=task) for task in ('name', 'place')
}
pope_dataset = dict(
    type=VQABenchmark,
    benchmark='pope',
    ann_file=f'{toy_root}/pope',
    image_root=f'{toy_root}/pope/val2014',
    request='',
)
test_evaluator = dict(
    pope=[dict(type=VQAMetric, benchmark='pope')],
    name=[dict(type=AnswerMetric, rule='exact', prefix='name')],
    place=[dict(type=RECMetric, reader=dict(type=BoardBoxReader), prefix='place')],
)
