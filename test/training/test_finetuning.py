"""Fine-tuning: what is kept of the old network, what new labels get, and what is said of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from synthetic import pose

keras = pytest.importorskip('keras', reason='training needs TensorFlow')
pytest.importorskip('tensorflow', reason='training needs TensorFlow')

from training import finetuning, train  # noqa: E402
from training.augmentation import at_least  # noqa: E402
from training.config import TrainConfig  # noqa: E402
from training.data import is_held_back, load_data  # noqa: E402
from training.finetuning import OldNetwork  # noqa: E402
from training.metrics import softmax  # noqa: E402
from training.models import build  # noqa: E402
from training.step import Step  # noqa: E402

OLD = TrainConfig(name='old', files=('x.npz',), labels=('a', 'b', 'c'), num_frames=10,
                  min_frames=4)
FEATURES = np.random.default_rng(1).normal(0, 0.5, (4, 10, 52)).astype(np.float32)


@pytest.fixture
def config(tmp_path: Path, request: pytest.FixtureRequest) -> TrainConfig:
    """Return a training with other labels, which starts from a run of random weights."""
    old = replace(OLD, model=getattr(request, 'param', OLD.model))
    (tmp_path / 'member_0').mkdir()
    (tmp_path / 'config.json').write_text(json.dumps(asdict(old)))
    keras.utils.set_random_seed(0)
    model = build(old.model, 10, num_classes=old.num_outputs)
    rng = np.random.default_rng(0)
    model.set_weights([x + rng.uniform(0, 0.1, x.shape) for x in model.get_weights()])
    model.save_weights(tmp_path / 'member_0' / 'member.weights.h5')
    return replace(old, labels=('c', 'new', 'a'), start_from=str(tmp_path))


@pytest.mark.parametrize('background', [True, False])
def test_old_answers_count_beside_the_labels_but_for_new_actions(
    config: TrainConfig, background: bool,
) -> None:
    config = replace(config, background=background)
    old = OldNetwork(config)
    assert old.kept == ['c', 'a']
    answers = softmax(old.network.model(FEATURES).numpy())  # a, b, c and none of them
    rest = answers[:, [1, 3]].sum(axis=1)
    wanted = np.zeros((4, config.num_outputs))
    wanted[:, 0], wanted[:, 2] = answers[:, 2], answers[:, 0]
    if background:
        wanted[:, 3] = rest
    else:
        wanted += rest[:, None] / 3
    target = np.eye(config.num_outputs, dtype=np.float32)[[0, 1, 2, -1]]
    found = old.teacher(0.25)(FEATURES, target).numpy()
    others = [0, 2, 3]
    np.testing.assert_allclose(found[others], (0.75 * target + 0.25 * wanted)[others], atol=1e-5)
    np.testing.assert_array_equal(found[1], target[1])
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_of_no_action_the_old_answers_count_wherever_the_new_label_stands(
    config: TrainConfig,
) -> None:
    """Without a background other actions have a target in which every class is as likely."""
    target = np.full((4, 3), 1 / 3, np.float32)
    found = {}
    for labels in (('c', 'new', 'a'), ('new', 'c', 'a')):
        old = OldNetwork(replace(config, background=False, labels=labels))
        answers = old.teacher(0.25)(FEATURES, target).numpy()
        found[labels] = answers[:, [labels.index(label) for label in OLD.labels if label in labels]]
        assert np.abs(answers - target).max() > 0.01
    first, second = found.values()
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize('config', ['act_mu', 'conv1d'], indirect=True)
def test_the_new_network_begins_with_what_the_old_one_answers(config: TrainConfig) -> None:
    """Also where batches are normalised by what the old one met."""
    old = OldNetwork(config)
    model = build(config.model, 10, num_classes=config.num_outputs)
    old.transfer(model)
    np.testing.assert_allclose(model(FEATURES).numpy()[:, [0, 2, 3]],
                               old.network.model(FEATURES).numpy()[:, [2, 0, 3]], atol=1e-5)


ON_JAX = """
import json, sys
from functools import partial
import keras
import numpy as np
from training.config import TrainConfig
from training.finetuning import OldNetwork
from training.models import MODELS, build
from training.models.act import ActSize, build_act
from training.step import Step

assert keras.backend.backend() == 'jax'
MODELS['act_mu'] = partial(build_act, ActSize(1, 16, 1, 16, 0.3))  # as the fixture has it
config, features = json.loads(sys.argv[1]), np.array(json.loads(sys.argv[2]), np.float32)
config = TrainConfig.parse(config)
old = OldNetwork(config)
before = old.network.probabilities(features)
model = build(config.model, config.num_frames, num_classes=config.num_outputs)
old.transfer(model)
step = Step(model, keras.optimizers.Adam(0.01), teach=old.teacher(0.5))
for frames in (10, 6):  # a second length is compiled after the first steps
    step(features[:, :frames], np.eye(config.num_outputs, dtype=np.float32))
    step.finish()
np.testing.assert_array_equal(old.network.probabilities(features), before)
"""


@pytest.mark.usefixtures('small_act')
@pytest.mark.skipif(find_spec('jax') is None, reason='needs the extra jax')
def test_on_jax_the_old_network_stays_as_it_is_while_the_new_one_learns(
    config: TrainConfig, on_jax: dict[str, str],
) -> None:
    """JAX deletes what a step starts from: the old network's weights must not be among it."""
    subprocess.run(
        [sys.executable, '-c', ON_JAX, json.dumps(asdict(config)), json.dumps(FEATURES.tolist())],
        check=True, env=on_jax)


@pytest.mark.parametrize(('setting', 'said'), [
    ({'frame_rate': 30.0}, 'frames at 15.0 Hz, .* wants act_mu for 10 frames at 30.0 Hz'),
    ({'pose_smoothing': 0.5}, 'wants .* smoothed by 0.5 s')])
def test_a_network_that_reads_other_poses_is_no_start(
    config: TrainConfig, setting: dict[str, float], said: str,
) -> None:
    with pytest.raises(ValueError, match=said):
        OldNetwork(TrainConfig(**{**asdict(config), **setting}))


def test_slow_variables_go_part_of_their_way() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    begin, steps = model.get_weights(), {}
    target = np.eye(2, dtype=np.float32)[[0, 1, 1]]
    for slowness in (1.0, 0.25):
        model.set_weights(begin)
        step = Step(model, keras.optimizers.Adam(0.1), old_layers=slowness)
        step(FEATURES[:3, 0, :4], target)
        steps[slowness] = [new - old for new, old in zip(model.get_weights(), begin, strict=True)]
    for whole, part, share in zip(steps[1.0], steps[0.25], (0.25, 0.25, 1, 1), strict=True):
        assert np.abs(whole).max() > 0.05
        np.testing.assert_allclose(part, share * whole, atol=1e-6)


def test_new_labels_get_their_share_and_no_less_than_they_have() -> None:
    weights, new = np.array([0.1, 0.3, 0.58, 0.02]), np.array([False, False, False, True])
    np.testing.assert_allclose(at_least(weights, new, 0.3)[3], 0.3)
    np.testing.assert_allclose(at_least(weights, new, 0.3)[:3] / 0.7, weights[:3] / 0.98)
    np.testing.assert_array_equal(at_least(weights, new, 0.01), weights)
    np.testing.assert_array_equal(at_least(weights, np.zeros(4, bool), 0.3), weights)


@pytest.mark.parametrize('background', [True, False])
def test_new_labels_lead_by_what_keeps_them_from_the_old_ones(
    config: TrainConfig, background: bool,
) -> None:
    config = replace(config, background=background)
    old, rng = OldNetwork(config), np.random.default_rng(3)
    group = rng.integers(4, size=4000)
    logits = rng.normal(size=(4000, config.num_outputs))
    logits[group == 2, 1] += 3  # many are taken for the new action
    lead = old.lead(group, logits)
    assert lead[0] == lead[2] == 0 < lead[1]
    answer = (logits[:, :3] - lead).argmax(axis=1)
    taken = [float((answer[group == i] == 1).mean()) for i in range(4)]
    assert max(taken) == taken[2] == pytest.approx(finetuning.LEAK, abs=0.002)
    logits[:, 1] -= 20
    assert not old.lead(group, logits).any()  # nothing is taken: nothing is lowered


def test_a_network_is_saved_with_the_lead_of_its_new_labels(
    config: TrainConfig, tmp_path: Path,
) -> None:
    actions = ('standing', 'wave', 'walk')
    clips = [(person, i) for person in range(4) for i in range(3)]
    np.savez(tmp_path / 'x.npz', label=[i for _, i in clips], labels=config.labels,
             joints=np.concatenate([[pose(t / 30 + p, actions[i], torso=80 + 10 * p)
                                     for t in range(45)] for p, i in clips]),
             offsets=45 * np.arange(13), fps=np.full(12, 30.0), layout=['coco17_2d'],
             actor=[f'a{p}' for p, _ in clips], take=[f't{i}' for i in range(12)])
    sequences, folds = load_data(config, tmp_path)
    people = train.People(config, sequences, is_held_back(config, sequences, folds, 0))
    trainer = train.make_trainer(config, people, 0)
    last = trainer.model.layers[-1]
    last.bias.assign([0, 9, 0, 0])  # all is the new action
    before = trainer.model.get_weights()
    train.hold_apart(trainer)
    features, label = people.sampler.draw(np.random.default_rng(5), 900)
    answer = trainer.logits(features)[:, :3].argmax(axis=1)
    assert 0 < max((answer[label == i] == 1).mean() for i in (0, 2)) < 0.1
    for old, new in zip(before[:-1], trainer.model.get_weights()[:-1], strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(last.bias.numpy()[[0, 2, 3]], 0)


def test_recalls_before_and_after(config: TrainConfig) -> None:
    old = OldNetwork(config)
    answer = old.network.probabilities(FEATURES).argmax(axis=1)  # of a, b, c
    new = {0: 2, 2: 0}  # the number of a and c in the new labels
    label = np.array([new.get(int(i), -1) for i in answer])
    label[label < 0] = 1
    logits = np.eye(3, dtype=np.float32)[[0, 0, 0, 0]] * 5  # always c
    found = old.recalls(label, np.arange(4), FEATURES, logits)
    for number, name in enumerate(config.labels):
        if (label == number).any():
            clips = int((label == number).sum())
            assert found[name] == {'clips': clips, 'after': clips * (name == 'c'),
                                   **({} if name == 'new' else {'before': clips})}


@pytest.mark.parametrize('content', [
    '', '[]', '{"walk": 1}', '{"walk": {}}', '{"walk": {"clips": 0, "after": 0}}'])
def test_damaged_recalls_are_told_of_by_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / train.RECALLS).write_text(content)
    with pytest.raises(train.CheckpointError, match=r'recalls\.json is damaged .* train this'):
        train.tell_recalls([tmp_path / train.RECALLS])


def test_members_are_joined_and_labels_that_fall_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture,
) -> None:
    rows = [{'walk': {'clips': 10, 'before': 9, 'after': 8},
             'sit': {'clips': 4, 'before': 2, 'after': 2}},
            {'walk': {'clips': 30, 'before': 27, 'after': 24}, 'drink': {'clips': 6, 'after': 3}}]
    files = []
    for i, row in enumerate(rows):
        files.append(tmp_path / f'{i}.json')
        files[-1].write_text(json.dumps(row))
    train.tell_recalls(files)
    printed = capsys.readouterr()
    assert '| walk | 40 | 90 | 80 (falls) |' in printed.out
    assert '| sit | 4 | 50 | 50 |' in printed.out and '| drink | 6 | new | 50 |' in printed.out
    assert printed.err.startswith('warning: walk fell by more than 5 points')
    assert 'warning: less than 85 % of drink is known of people held back' in printed.err
    assert finetuning.unlearned({'x': {'clips': 100, 'before': 9, 'after': 9},
                                 'y': {'clips': 100, 'after': 85}}) == []
    assert finetuning.fallen({'x': {'clips': 100, 'before': 50, 'after': 46}}) == []
