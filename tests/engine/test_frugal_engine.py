import pytest


def test_gradients_that_are_ready_in_another_order_are_not_mixed_up(lab):
    job = dict(model='crossed', world=2, batch=2, noise=False, steps=4, interval=4)
    expected = lab('crossed-ddp', strategy='ddp', **job)
    assert expected['error'] is None, expected['error']
    for strategy in ('zero1', 'zero2'):
        run = lab(f'crossed-{strategy}', strategy=strategy, **job)
        assert run['error'] is None, run['error']
        assert run['losses'] == pytest.approx(expected['losses'], abs=1e-6)
