"""The settings can be passed to a process as they are."""

import subprocess
import sys

from flmm.engine.allocator import ALLOCATOR_ENVIRONMENT


def test_a_process_starts_with_these_settings():
    code = f'import os; print(all(os.environ[k] for k in {list(ALLOCATOR_ENVIRONMENT)}))'
    result = subprocess.run(
        [sys.executable, '-c', code], env=ALLOCATOR_ENVIRONMENT, capture_output=True, text=True
    )
    assert result.stdout.strip() == 'True' and not result.stderr
