"""The nodes' parameter file: read, or refused with the reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip('rosbags')
pytest.importorskip('sklearn')
from bag_writer import write_bag
from plan import keypoints, somebody
from synthetic import SECOND, stamps

from act_ros.core.rotation import turn_person
from act_ros.evaluation.run import Job, evaluate
from act_ros.evaluation.settings import read_settings


def test_the_parameter_file_of_the_nodes_serves(tmp_path: Path, tiny_bundle: Path) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text(f"""
/**/pose_node:
  ros__parameters: {{transport: compressed, tracker: {{max_age: 2}}}}
/robot/act_node:
  ros__parameters:
    bundle: {tiny_bundle}
    use_sim_time: true
    labels: [walk, wave]
    decision.smoothing: 0.1
""")
    settings = read_settings(path)
    assert settings.tracker.max_age == 2.0 and isinstance(settings.tracker.max_age, float)
    assert settings.decision.smoothing == 0.1 and settings.act.labels == ('walk', 'wave')
    assert settings.act.bundle == str(tiny_bundle)
    assert read_settings(path, 'other').act.bundle == 'other'
    default = Path(__file__).parents[2] / 'config' / 'act.yaml'
    assert read_settings(default) == read_settings()


@pytest.mark.parametrize(('text', 'said'), [
    ('act_node: {ros__parameters: {decision: {smoothing: slow}}}', 'decision.smoothing must be fl'),
    ('act_node: {ros__parameters: {decision: {smoothing: -1}}}', 'parameter decision.smoothing'),
    ('act_node: {ros__parameters: {act_threads: true}}', 'act_threads must be int'),
    ('- a', 'is no ROS parameter file'), ('a: [', 'cannot read'),
    ('act_node: {ros__parameters: [1, 2]}', r'must map names to values, not be \[1, 2\]'),
    ('act_node: {ros__parameters: {labels: [1]}}', r'labels must be a list of strings, not \[1\]'),
    ('act_node: {ros__parameters: {window: {max_rate: 1.0e-308}}}', 'parameter window.max_rate'),
    ('act_node:\n  a: &a {x: 1}\n  b: {y: *a, z: *a}', r'line 3 has an alias \(\*\)'),
    ('a: &a [*a]', 'has an alias'), ('[' * 5000, 'too many levels'), ('#' * 2_000_000, 'more than'),
    ('a: \x1b[2J', r'cannot read .*#x001b'),
    ('act_node: {ros__parameters: {bundle: 2001-99-99}}', 'cannot read .*act.yaml'),
    ("act_node: {ros__parameters: {act_threads: !!int ''}}", 'cannot read .*act.yaml'),
    ('act_node: {ros__parameters: {act_threads: !!timestamp x}}', 'cannot read .*act.yaml'),
    (f'act_node: {{ros__parameters: {{act_threads: {"1" * 5000}}}}}', 'cannot read .*act.yaml'),
    (f'act_node: {{ros__parameters: {{window.max_gap: {"1" * 400}}}}}', 'window.max_gap is too la'),
    (f'act_node: {{ros__parameters: {{bundle: 0x{"F" * 4000}}}}}', 'bundle is too large'),
    (f'act_node: {{ros__parameters: {{window.max_gap: 1{":59" * 300}.5}}}}', 'cannot read .*act'),
    ('act_node: {ros__parameters: {window.max_gap: 3e-1s}}', "must be float, not '3e-1s'"),
])
def test_parameters_a_node_would_refuse_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_settings(path)


def test_a_parameter_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    for path in (tmp_path / 'pipe', Path('/dev/zero'), tmp_path):
        with pytest.raises(ValueError, match='it is no file'):
            read_settings(path)


@pytest.mark.parametrize(('text', 'said'), [
    ('act_node: {ros__parameters: {decison: {smoothing: 0.9}}}',
     'no parameter decison.smoothing, which does not count; did you mean decision.smoothing?'),
    ('act_node: {ros__parameters: {window.max_gapp: 0.1}}', 'did you mean window.max_gap?'),
    ('act_node: {ros__parameters: {window.colour: 0.1}}', 'no parameter window.colour'),
    ('act_node: {window.max_gap: 0.1}', 'for want of the level ros__parameters'),
    ('/robot/act_nod: {ros__parameters: {window.max_gap: 0.1}}',
     'the section /robot/act_nod is of no node that is evaluated and does not count; '
     'did you mean act_node?'),
    ('pose_nodes: {ros__parameters: {x: 1}}\nact_node: {ros__parameters: {}}',
     'the section pose_nodes is of no node'),
    ('recogniser: {ros__parameters: {window.max_gap: 0.1}}',
     'nothing of it counts, for want of a section pose_node or act_node'),
    ('{}', 'nothing of it counts, for want of a section'),
])
def test_parameters_that_do_not_count_are_told(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text(text)
    settings = read_settings(path)
    warning, = settings.warnings
    assert said in warning and str(path) in warning
    assert settings == read_settings() and 'warnings' not in settings.to_dict()


def test_sections_of_other_nodes_are_no_slips(tmp_path: Path) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text('\n'.join(f'{node}: {{ros__parameters: {{x: 1}}}}' for node in (
        '/**/act_node', 'annotator_node', 'humans_node', 'markers_node', 'pipeline_node',
        'video_node')))
    assert not read_settings(path).warnings


def test_numbers_are_what_the_nodes_take_them_for(tmp_path: Path) -> None:
    """An integer for a float or a text, and a float without a point."""
    path = tmp_path / 'act.yaml'
    path.write_text('act_node: {ros__parameters: {window.max_gap: 1, bundle: 5, '
                    'place.tolerance: 1e-1}}')
    settings = read_settings(path)
    assert (settings.window.max_gap, settings.act.bundle) == (1.0, '5')
    assert settings.place.tolerance == 0.1 and not settings.warnings


def test_parameters_change_the_answers(
    tmp_path: Path, plan_bag: Path, labels: Path, tiny_bundle: Path,
) -> None:
    path = tmp_path / 'act.yaml'
    path.write_text('act_node: {ros__parameters: {labels: [standing, walk]}}')
    settings = read_settings(path, str(tiny_bundle))
    summary = evaluate(Job(plan_bag, tmp_path / 'out', labels, settings=settings)).summary
    assert summary['classes']['wave']['recall'] == 0.0
    assert summary['settings']['act']['labels'] == ['standing', 'walk']


def test_poses_are_turned_as_by_act_node_and_images_as_by_pose_node(
    tmp_path: Path, labels: Path, tiny_bundle: Path,
) -> None:
    """Of a camera on its side; each node has a rotation of its own."""
    bag = write_bag(tmp_path / 'bag', [
        keypoints(s, turn_person(somebody((s - SECOND) / SECOND), 270, 640, 480))
        for s in stamps(20, 12)])
    recalls = {}
    for node in ('act_node', 'pose_node'):
        path = tmp_path / f'{node}.yaml'
        path.write_text(f'{node}: {{ros__parameters: {{rotation: 90}}}}')
        settings = read_settings(path, str(tiny_bundle))
        assert (settings.pose_mount.rotation, settings.image_mount.rotation) == (
            (90, 0) if node == 'act_node' else (0, 90))
        summary = evaluate(Job(bag, tmp_path / node, labels, settings=settings)).summary
        recalls[node] = summary['segments']['recall']
    assert recalls['act_node'] == 1.0 > recalls['pose_node']
