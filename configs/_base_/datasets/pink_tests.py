"""Pink's evaluations in the public layouts under ``data/``; none has a pipeline."""

from mmengine.config import read_base

from flmm.datasets import (
    AOKVQADataset,
    GQADataset,
    IconQADataset,
    PointQALocalDataset,
    PointQALookTwiceDataset,
    SEEDBenchDataset,
    Visual7WDataset,
    VQADataset,
    VSRDataset,
)
from flmm.evaluation.metrics import AnswerMetric, PinkRECMetric, RECMetric, TextBoxes

with read_base():
    from .referring_boxes import *

_point = dict(image_root='data/visual_genome/images')
_answers = dict(
    gqa=(
        dict(type=GQADataset, ann_file='data/gqa/testdev_balanced_questions.json',
             image_root='data/gqa/images'), 'gqa'),
    vqav2=(
        dict(type=VQADataset, ann_file='data/vqav2/v2_mscoco_val2014_annotations.json',
             question_file='data/vqav2/v2_OpenEnded_mscoco_val2014_questions.json',
             image_root='data/coco/val2014', image_pattern='COCO_val2014_{:012d}.jpg',
             name='vqav2'), 'vqa'),
    okvqa=(
        dict(type=VQADataset, ann_file='data/okvqa/mscoco_val2014_annotations.json',
             question_file='data/okvqa/OpenEnded_mscoco_val2014_questions.json',
             image_root='data/coco/val2014', image_pattern='COCO_val2014_{:012d}.jpg',
             answer_key='raw_answer', name='okvqa'), 'vqa'),
    aokvqa=(
        dict(type=AOKVQADataset, ann_file='data/aokvqa/aokvqa_v1p0_val.json',
             image_root='data/coco/val2017', shuffle=False), 'choice'),
    vsr=(dict(type=VSRDataset, ann_file='data/vsr/test.jsonl', image_root='data/coco'), 'yes_no'),
    iconqa=(
        dict(type=IconQADataset, ann_file='data/iconqa/choose_txt_test.json',
             image_root='data/iconqa/test/choose_txt'), 'choice'),
    seed_bench=(
        dict(type=SEEDBenchDataset, ann_file='data/seed_bench/SEED-Bench.json',
             image_root='data/seed_bench/images'), 'choice'),
    visual7w=(
        dict(type=Visual7WDataset, ann_file='data/visual7w/dataset_v7w_pointing.json',
             image_root='data/visual7w/images', split='test'), 'choice'),
    visual7w_telling=(
        dict(type=Visual7WDataset, ann_file='data/visual7w/dataset_v7w_telling.json',
             image_root='data/visual7w/images', split='test', name='visual7w_telling'), 'choice'),
    pointqa_local=(
        dict(_point, type=PointQALocalDataset, ann_file='data/pointqa/local_test.json',
             shown='point'), 'exact'),
    **{
        f'pointqa_look_twice_{level}': (
            dict(_point, type=PointQALookTwiceDataset, level=f'{level}_question', shown='point',
                 ann_file='data/pointqa/look_twice_test.json',
                 name=f'pointqa_look_twice_{level}'), 'count')
        for level in ('obj', 'super', 'general')
    },
)  # fmt: skip
test_datasets = {**rec_datasets, **{task: dataset for task, (dataset, _) in _answers.items()}}
# Official protocol and the corrected one, both.
test_evaluator = {
    **{
        task: [
            dict(type=RECMetric, reader=dict(type=TextBoxes, dialect='normalised'), prefix=task),
            dict(type=PinkRECMetric, prefix=f'official/{task}'),
        ]
        for task in rec_datasets
    },
    **{
        task: [
            dict(type=AnswerMetric, rule=rule, prefix=task),
            dict(type=AnswerMetric, rule=rule, official=True, prefix=f'official/{task}'),
        ]
        for task, (_, rule) in _answers.items()
    },
}
del _point, _answers
