"""What the demonstrations are about."""

TREE = {
    'running': (('run', 'jog'), 0.0),
    'sitting': (('sitting',), 1.0),
    'waving': (('wave1', 'wave2'), 0.5),
}
"""What the example tree waits for: any of the labels, held for so many seconds. These are what the
model is sure of: a posture rather than the moment in which it is taken, running however fast."""
