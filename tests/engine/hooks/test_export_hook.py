"""When a model is exported: every so many iterations, after training, by the first process."""

from types import SimpleNamespace

import pytest

from flmm.engine.hooks import ExportHook


def exports(hook, iterations, rank=0, wrapped=False):
    """Iterations, of a training of some, after which the model was exported, and where to."""
    found = []
    model = SimpleNamespace(export=lambda folder: found.append((runner.iter, folder)))
    runner = SimpleNamespace(rank=rank, model=SimpleNamespace(module=model) if wrapped else model)
    for runner.iter in range(iterations):
        hook.after_train_iter(runner, batch_idx=runner.iter, data_batch=None, outputs={})
    # As the loop leaves it.
    runner.iter = iterations
    hook.after_train(runner)
    return found


@pytest.mark.parametrize('wrapped', [False, True])
def test_the_model_is_exported_at_every_interval_and_at_the_end(wrapped):
    # Iterations count from 0: the third and the sixth, then the end.
    expected = [(2, 'here'), (5, 'here'), (7, 'here')]
    assert exports(ExportHook('here', interval=3), 7, wrapped=wrapped) == expected


def test_without_an_interval_only_the_end_counts():
    assert exports(ExportHook('here'), 7) == [(7, 'here')]


def test_other_processes_export_nothing():
    assert exports(ExportHook('here', interval=1), 3, rank=1) == []
