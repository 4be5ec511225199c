"""The warning that 16-bit weights without float32 copies lose small steps."""

import logging

import pytest
import torch
from mmengine.config import Config
from torch import nn

from flmm.engine.half_weights import warn_of_half_weights
from flmm.engine.runner import FLMMRunner


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))


@pytest.fixture
def logger():
    # Not mmengine's, which does not pass records on to caplog.
    return logging.getLogger('half_weights')


@pytest.mark.parametrize(
    'dtype, name, lost', [(torch.bfloat16, 'bfloat16', 256), (torch.float16, 'float16', 2048)]
)
def test_the_warning_names_the_weights_and_the_step_that_is_lost(
    model, logger, caplog, dtype, name, lost
):
    model[1].to(dtype)
    assert warn_of_half_weights(model, logger)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f'2 of 4 trained weights are {name}' in record.message
    assert '1.weight, 1.bias' in record.message and f'about 1/{lost} of' in record.message
    # That much is lost indeed, and the double of it is not.
    one = torch.ones(1, dtype=dtype)
    assert one - 0.49 / lost == one and one - 1.0 / lost != one and one + 0.99 / lost == one


def test_float32_weights_and_frozen_ones_are_no_reason(model, logger, caplog):
    model[0].to(torch.bfloat16).requires_grad_(False)
    assert not warn_of_half_weights(model, logger)
    assert not caplog.records


@pytest.mark.parametrize('half', [True, False])
def test_a_run_says_it_once_before_its_first_step(tiny_config, tmp_path, monkeypatch, half):
    cfg = Config.fromfile(tiny_config)
    cfg.update(work_dir=str(tmp_path / 'work'), log_level='ERROR')
    runner = FLMMRunner.from_cfg(cfg)
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.model.head[1].to(torch.bfloat16 if half else torch.float32)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    # As resume and training do one after the other.
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert sum('have no float32 copies' in text for text in warnings) == int(half)
