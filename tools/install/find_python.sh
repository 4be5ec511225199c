#!/bin/sh
# Print a Python that can install flmm: $PYTHON, that of .venv, or the first of 3.11, 3.12, 3.10
# on the PATH.
# Says in one sentence what is missing otherwise.

check='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'

if [ -n "${PYTHON:-}" ]; then
    if "$PYTHON" -c "$check" >/dev/null 2>&1; then
        command -v "$PYTHON"
        exit 0
    fi
    echo "flmm needs Python 3.10, 3.11 or 3.12, and PYTHON=$PYTHON is none of them." >&2
    exit 1
fi

for name in .venv/bin/python python3.11 python3.12 python3.10 python3 python; do
    # Version managers leave commands that exist but do not run: try, don't just look.
    if "$name" -c "$check" >/dev/null 2>&1; then
        command -v "$name"
        exit 0
    fi
done

found=$(python3 --version 2>/dev/null)
found=${found:-no python3 at all}
echo "flmm needs Python 3.10, 3.11 or 3.12 and found $found; install one (Debian and Ubuntu:" \
    "sudo apt install python3.11 python3.11-venv python3.11-dev) or name it: make install" \
    "PYTHON=/path/to/python3.11." >&2
exit 1
