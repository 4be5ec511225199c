import torch
from tiny_training import TinyModel

from flmm.engine.evaluation_runner import EvaluationRunner


def test_every_process_has_the_whole_model_on_its_device_without_a_wrapper(tmp_path, monkeypatch):
    device = torch.device('meta')
    monkeypatch.setattr('flmm.engine.evaluation_runner.get_device', lambda: device)
    runner = EvaluationRunner(
        model=TinyModel(),
        work_dir=str(tmp_path),
        default_hooks=dict(checkpoint=None, param_scheduler=None),
        log_level='ERROR',
        experiment_name=tmp_path.name,
    )
    assert {tensor.device for tensor in runner.model.state_dict().values()} == {device}
    # As one of several processes; DDP would want all of them, and a config asks for it.
    runner._distributed, model = True, TinyModel()
    assert runner.wrap_model(dict(type='MMDistributedDataParallel'), model) is model
    assert {tensor.device for tensor in model.state_dict().values()} == {device}
    assert runner.bare_model is runner.model
