"""Training of action models: data, networks, protocol, export. TensorFlow is needed only here."""
