"""What DeepSpeed's runs refuse; how they train and resume is in test_faults and test_f_lmm_zero."""

from flmm.engine.latest import find_latest_training_state


def test_weights_of_one_process_that_are_no_numbers_stop_all_before_they_are_saved(lab):
    job = dict(strategy='zero2', world=2, steps=6, interval=2, keep=5)
    stopped = lab('poison', poison_step=3, **job)
    # The next step carries it to the other.
    assert 'NaN' in stopped['error'] and 'Resume from' in stopped['error']
    assert all(code != 0 for code in stopped['codes'])
    assert find_latest_training_state(lab.folder / 'poison').name == 'iter_2.pth'
