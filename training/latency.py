"""The former name of `training.paper.latency`."""

import warnings

from training.paper.latency import main

warnings.warn('training.latency is called training.paper.latency now', FutureWarning,
              stacklevel=2)

if __name__ == '__main__':
    main()
