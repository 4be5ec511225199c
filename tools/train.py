"""Train a config: the arguments of `xtuner train`, and an exit status that tells the truth."""

import sys

from flmm.engine.train import main

if __name__ == '__main__':
    sys.exit(main())
