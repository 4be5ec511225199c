"""The benchmarks of visual question answering in their official files, under data/vqa.

A leaf gives the data sets of ``benchmark_loaders`` its pipeline.
"""

from mmengine.dataset import DefaultSampler

from flmm.datasets import grounding_collate
from flmm.datasets.benchmarks import VQABenchmark
from flmm.evaluation.metrics import VQAMetric

_root = 'data/vqa'
# Name -> official file or folder, folder of the images (MMBench's table holds its own).
_files = dict(
    gqa=('gqa/testdev_balanced_questions.json', 'gqa/images'),
    scienceqa=('ScienceQA/problems.json', 'ScienceQA/images'),
    textvqa=('TextVQA/TextVQA_0.5.1_val.json', 'TextVQA/train_images'),
    pope=('POPE', 'coco/val2014'),
    mme=('MME_Benchmark_release_version', 'MME_Benchmark_release_version'),
    mmbench=('MMBench/mmbench_dev_en.tsv', ''),
    mmbench_cn=('MMBench/mmbench_dev_cn.tsv', ''),
    mmvet=('mm-vet/mm-vet.json', 'mm-vet/images'),
    qbench=('LLVisionQA-QBench/llvisionqa_dev.json', 'LLVisionQA-QBench/images'),
    mathvista=('MathVista/testmini.json', 'MathVista'),
    ai2d=('ai2d/questions', 'ai2d/images'),
    seed=('SEED-Bench/SEED-Bench.json', 'SEED-Bench/SEED-Bench-image'),
    hallusionbench=('HallusionBench/HallusionBench.json', 'HallusionBench/images'),
)
benchmark_datasets = {
    _name: dict(
        type=VQABenchmark,
        benchmark=_name,
        ann_file=f'{_root}/{_ann}',
        image_root=f'{_root}/{_images}',
    )
    for _name, (_ann, _images) in _files.items()
}
benchmark_loaders = {
    _name: dict(
        batch_size=1,
        num_workers=1,
        collate_fn=dict(type=grounding_collate),
        sampler=dict(type=DefaultSampler, shuffle=False),
        dataset=_dataset,
    )
    for _name, _dataset in benchmark_datasets.items()
}
test_evaluator = {_name: [dict(type=VQAMetric, benchmark=_name)] for _name in benchmark_loaders}
