"""The table of shapes is read off a run, not written by hand."""

import numpy as np
from PIL import Image

from flmm.apis.trace import StageShape, markdown_table, trace_shapes
from flmm.datasets import ConcatGrounding, PNGDataset
from flmm.structures import GroundingSample, Phrase, TextPiece


class _TwoSamples:
    """A dataset of two prepared samples, of different sizes."""

    def __init__(self, pipeline):
        self.items = []
        for number, (width, height) in enumerate([(60, 40), (30, 50)]):
            sample = GroundingSample(
                str(number),
                image=Image.new('RGB', (width, height), 'red'),
                prompt='<image>\nDescribe this image.',
                pieces=[TextPiece('a red circle', 0), TextPiece('.')],
                phrases=[Phrase('a red circle')],
                gt_masks=np.ones((1, height, width), bool),
            )
            for step in pipeline:
                sample = step(sample)
            self.items.append(sample)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def test_shapes_are_those_of_the_run(tiny_config, monkeypatch):
    from flmm.apis import trace
    from flmm.registry import TRANSFORMS

    steps = [TRANSFORMS.build(s) for s in tiny_config.test_dataloader['png'].dataset.pipeline]
    monkeypatch.setattr(trace.DATASETS, 'build', lambda config: _TwoSamples(steps))
    config = tiny_config.copy()
    config.train_dataloader = dict(dataset=dict(type=ConcatGrounding, datasets=[PNGDataset]))
    rows = {row.name: row.shape for row in trace_shapes(config)}
    assert rows['ori_shape'] == '(40, 60)'
    assert rows['ImageGrid.positions'] == '(6, 6)'
    assert rows['PhraseFeatures.attention'] == '(1, 12, 6, 6)'
    assert rows['refined logits'] == '(1, 40, 60)'
    assert rows['GroundingPrediction.pred_masks'] == '(1, 40, 60)'


def test_table_is_markdown():
    table = markdown_table([StageShape('LMM', 'attention', '(1, 2)', 'P, K')])
    assert table.splitlines()[-1] == '| LMM | `attention` | (1, 2) | P, K |'
