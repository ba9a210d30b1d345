"""What the demonstrations are about."""

TREE = {
    'running': (('run', 'jog'), 0.0),
    'sitting': (('sitting',), 1.0),
    'waving': (('wave1', 'wave2'), 0.5),
}
"""What the example tree waits for: any of the labels, held for so many seconds. What is told
surely: a posture rather than the moment in which somebody takes it, running however fast."""
