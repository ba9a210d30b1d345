"""The former name of `training.paper.benchmark`."""

import warnings

from training.paper.benchmark import main

warnings.warn('training.benchmark is called training.paper.benchmark now', FutureWarning,
              stacklevel=2)

if __name__ == '__main__':
    main()
