"""The former name of `training.paper.import_weights`."""

import warnings

from training.paper.import_weights import main

warnings.warn('training.import_weights is called training.paper.import_weights now', FutureWarning,
              stacklevel=2)

if __name__ == '__main__':
    main()
