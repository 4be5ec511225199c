import pytest
import torch

from flmm.evaluation.metrics import BoardBoxReader, RECMetric
from flmm.structures import GroundingPrediction, GroundingSample, Phrase


def test_boxes_written_as_squares_are_scored_as_boxes():
    metric = RECMetric(reader=BoardBoxReader())
    for name, text in (('a', 'B 2 C 3'), ('b', 'B 2 B 2'), ('c', 'no idea')):
        phrase = Phrase('ring', meta={'box_xyxy': [10, 10, 30, 30]})
        sample = GroundingSample(name, ori_shape=(120, 120), phrases=[phrase])
        masks = torch.zeros(0, 120, 120, dtype=torch.bool)
        metric.process(None, [GroundingPrediction(sample, masks, text=text)])
    scores = metric.evaluate(3)
    # IoU 1, 1/4 and none.
    assert scores['rec/precision@0.5'] == pytest.approx(100 / 3)
    assert scores['rec/miou'] == pytest.approx(125 / 3)
    assert '12 x 12 squares' in metric.protocol()['boxes from']
