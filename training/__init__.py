"""Training of action models: data, networks, protocol, export. TensorFlow is needed only here."""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # read when TensorFlow is imported
