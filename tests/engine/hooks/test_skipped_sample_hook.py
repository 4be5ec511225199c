import logging
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from flmm.engine.hooks import SkippedSampleHook
from flmm.structures import GroundingSample, SkippedSample


@pytest.fixture
def runner(request):
    return SimpleNamespace(
        epoch=2,
        logger=logging.getLogger('skipped-sample-test'),
        message_hub=MessageHub(request.node.name),
    )


def run_epoch(hook, runner, batches):
    hook.before_train_epoch(runner)
    for index, batch in enumerate(batches):
        hook.after_train_iter(runner, index, batch, {})
    hook.after_train_epoch(runner)


def test_an_epoch_is_reported_with_its_counts(runner, caplog):
    skipped = [SkippedSample(str(i), 'image_unreadable', f'{i}.jpg is gone') for i in range(5)]
    dropped = GroundingSample('x', dropped=[('word', 'truncated')])
    run_epoch(
        SkippedSampleHook(),
        runner,
        [{'samples': [dropped], 'skipped': skipped[:2]}, {'samples': [], 'skipped': skipped[2:]}],
    )
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert 'Epoch 3: 5 samples skipped (image_unreadable 5); 1 phrases dropped' in record.message
    assert record.message.count('.jpg is gone') == 3
    hub = runner.message_hub
    assert hub.get_scalar('train/skipped_samples').current() == 5
    assert hub.get_scalar('train/dropped_phrases').current() == 1


def test_a_clean_epoch_says_nothing_and_epochs_do_not_add_up(runner, caplog):
    hook = SkippedSampleHook()
    run_epoch(hook, runner, [{'samples': [], 'skipped': [SkippedSample('a', 'no_phrase')]}])
    caplog.clear()
    run_epoch(hook, runner, [{'samples': [GroundingSample('b')], 'skipped': []}])
    assert not caplog.records
    assert runner.message_hub.get_scalar('train/skipped_samples').current() == 0


def test_batches_of_other_trainings_are_ignored(runner, caplog):
    run_epoch(SkippedSampleHook(), runner, [{'input_ids': 0}, [1, 2], None])
    assert not caplog.records
