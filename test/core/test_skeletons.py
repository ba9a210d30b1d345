"""Keypoint layouts: joint names carry everything else."""

from __future__ import annotations

import numpy as np
import pytest

from act_ros.core.skeletons import LAYOUTS, get_layout, joint_sources

SIZES = {'coco17': 17, 'body25': 25, 'coco18': 18, 'rep155': 18, 'h36m17': 17, 'halpe26': 26,
         'blazepose33': 33, 'mpose13_openpose': 13, 'mpose13_coco': 13}


def test_the_layouts_have_their_published_sizes() -> None:
    assert {name: len(layout.joints) for name, layout in LAYOUTS.items()} == SIZES
    assert all(layout.name == name for name, layout in LAYOUTS.items())


@pytest.mark.parametrize('name', SIZES)
def test_joints_differ_and_every_left_joint_has_its_right_one(name: str) -> None:
    joints = get_layout(name).joints
    assert len(set(joints)) == len(joints)
    left, right = ({joint[2:] for joint in joints if joint.startswith(side)} for side in (
        'l_', 'r_'))
    assert left == right


@pytest.mark.parametrize('name', SIZES)
def test_mirror_swaps_left_and_right_and_undoes_itself(name: str) -> None:
    layout = get_layout(name)
    for joint, mirrored in zip(layout.joints, layout.mirror, strict=True):
        swapped = {'l_': 'r_', 'r_': 'l_'}.get(joint[:2], joint[:2]) + joint[2:]
        assert layout.joints[mirrored] == swapped
    np.testing.assert_array_equal(layout.mirror[layout.mirror], np.arange(len(layout.joints)))


@pytest.mark.parametrize('name', SIZES)
def test_bones_join_the_limbs_on_both_sides(name: str) -> None:
    layout = get_layout(name)
    bones = {(layout.joints[a], layout.joints[b]) for a, b in layout.edges}
    for side in 'lr':
        assert {(f'{side}_shoulder', f'{side}_elbow'), (f'{side}_elbow', f'{side}_wrist'),
                (f'{side}_hip', f'{side}_knee')} <= bones
    mirrored = {frozenset((int(layout.mirror[a]), int(layout.mirror[b]))) for a, b in layout.edges}
    assert mirrored == {frozenset(edge) for edge in layout.edges}


def test_joints_a_layout_lacks_come_from_their_parts() -> None:
    # As MPOSE2021 reduces BODY_25.
    head, right, left, neck = joint_sources('body25', ('head', 'r_foot', 'l_foot', 'neck'))
    assert (set(head), set(right), set(left), neck) == (
        {0, 15, 16, 17, 18}, {11, 22, 23, 24}, {14, 19, 20, 21}, (1,))
    assert joint_sources('coco17', ('head', 'neck', 'mid_hip', 'l_foot')) == (
        (0, 1, 2, 3, 4), (5, 6), (11, 12), (15,))


def test_a_joint_that_cannot_be_made_is_named() -> None:
    with pytest.raises(ValueError, match="'coco17' has no joint 'l_heel'"):
        joint_sources('coco17', ('nose', 'l_heel'))


def test_an_unknown_layout_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown keypoint layout 'kinect'.*coco17, body25"):
        get_layout('kinect')


@pytest.mark.parametrize('name', SIZES)
def test_every_layout_gives_the_thirteen_joints_of_mpose(name: str) -> None:
    have = get_layout(name).joints
    joints = get_layout('mpose13_coco').joints
    for joint, sources in zip(joints, joint_sources(name, joints), strict=True):
        side = joint[:2] if joint[:2] in ('l_', 'r_') else ''
        if side:
            assert all(have[i].startswith(side) for i in sources)
        else:  # the face, not the crown of the head
            assert {have[i] for i in sources} <= {
                'head', 'nose', 'l_eye', 'r_eye', 'l_ear', 'r_ear'}


def test_numbers_of_well_known_joints() -> None:
    """As OpenPose, Human3.6M, Halpe and MediaPipe number them."""
    for name, numbers in {
            'coco18': {'neck': 1, 'r_wrist': 4, 'l_ankle': 13, 'l_ear': 17},
            'h36m17': {'mid_hip': 0, 'r_ankle': 3, 'spine': 7, 'head_top': 10, 'r_wrist': 16},
            'halpe26': {'l_hip': 11, 'head_top': 17, 'mid_hip': 19, 'r_heel': 25},
            'blazepose33': {'l_shoulder': 11, 'r_wrist': 16, 'r_hip': 24, 'r_big_toe': 32}}.items():
        joints = get_layout(name).joints
        assert {joint: joints.index(joint) for joint in numbers} == numbers
