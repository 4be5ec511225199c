import logging
import subprocess
import sys

from flmm.utils.library_logs import MISLEADING, LeaveOut, leave_out_misleading


def test_only_the_known_beginnings_are_left_out(caplog):
    leave_out_misleading()
    logger = logging.getLogger('DeepSpeed')
    with caplog.at_level(logging.WARNING):
        logger.addHandler(caplog.handler)
        try:
            logger.warning('Setting accelerator to CPU. If you have GPU ...')
            logger.warning('loss scale is %d', 3)
        finally:
            logger.removeHandler(caplog.handler)
    said = {record.getMessage() for record in caplog.records}
    assert said == {'loss scale is 3'}


def test_calling_it_again_adds_nothing():
    for _ in range(3):
        leave_out_misleading()
    for name in MISLEADING:
        filters = logging.getLogger(name).filters
        assert sum(isinstance(one, LeaveOut) for one in filters) == 1


def test_libraries_say_nothing_when_they_are_imported():
    code = 'import flmm, bitsandbytes, deepspeed; deepspeed.accelerator.get_accelerator()'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert 'Setting accelerator' not in done.stderr + done.stdout
    assert 'gemm_4bit' not in done.stderr + done.stdout
