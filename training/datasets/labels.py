"""The classes of MPOSE2021."""

MPOSE_LABELS = (
    'standing', 'check-watch', 'cross-arms', 'scratch-head', 'sit-down', 'get-up', 'turn', 'walk',
    'wave1', 'box', 'kick', 'point', 'pick-up', 'bend', 'hands-clap', 'wave2', 'jog', 'jump',
    'pjump', 'run')
"""The 20 classes of MPOSE2021, in order."""
