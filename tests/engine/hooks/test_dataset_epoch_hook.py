"""The dataset learns the epoch; one that does not ask is left alone."""

from types import SimpleNamespace

from flmm.engine.hooks.dataset_epoch_hook import DatasetEpochHook


def _runner(dataset, epoch):
    return SimpleNamespace(train_dataloader=SimpleNamespace(dataset=dataset), epoch=epoch)


def test_every_epoch_is_announced():
    heard = []
    dataset = SimpleNamespace(set_epoch=heard.append)
    for epoch in range(3):
        DatasetEpochHook().before_train_epoch(_runner(dataset, epoch))
    assert heard == [0, 1, 2]


def test_dataset_without_epochs_is_left_alone():
    dataset = SimpleNamespace()
    DatasetEpochHook().before_train_epoch(_runner(dataset, 1))
    assert vars(dataset) == {}
