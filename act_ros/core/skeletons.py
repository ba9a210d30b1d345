"""
Keypoint layouts: which joints a pose has, in which order, and how one layout becomes another.

Everything that knows a joint by number knows it from here. Joint names are the person's own left
and right (``l_``, ``r_``), as in REP-155.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from act_ros.core.text import printable

_LIMBS = (
    ('shoulder', 'elbow'), ('elbow', 'wrist'), ('shoulder', 'hip'), ('hip', 'knee'),
    ('knee', 'ankle'), ('knee', 'foot'), ('ankle', 'big_toe'), ('big_toe', 'small_toe'),
    ('ankle', 'heel'), ('eye', 'ear'), ('eye', 'eye_inner'), ('eye', 'eye_outer'),
    ('wrist', 'index'), ('wrist', 'pinky'), ('wrist', 'thumb'),
)
_SPINE = (
    ('l_shoulder', 'r_shoulder'), ('l_hip', 'r_hip'), ('nose', 'l_eye'), ('nose', 'r_eye'),
    ('nose', 'neck'), ('head', 'neck'), ('neck', 'mid_hip'), ('nose', 'head_top'),
    ('nose', 'l_mouth'), ('nose', 'r_mouth'), ('spine', 'mid_hip'),
)


@dataclass(frozen=True)
class Layout:
    """The joints of a pose, in order; all else follows from their names."""

    name: str
    joints: tuple[str, ...]

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Index pairs of joints to draw as bones."""
        bones = [(f'{side}_{a}', f'{side}_{b}') for side in 'lr' for a, b in _LIMBS]
        return tuple((self.joints.index(a), self.joints.index(b)) for a, b in (*bones, *_SPINE)
                     if a in self.joints and b in self.joints)

    @property
    def mirror(self) -> np.ndarray:
        """Joint indices (K,) that swap left and right: ``keypoints[..., layout.mirror, :]``."""
        other = {'l_': 'r_', 'r_': 'l_'}
        return np.array([self.joints.index(other.get(joint[:2], joint[:2]) + joint[2:])
                         for joint in self.joints])


LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (
    Layout('coco17', (
        'nose', 'l_eye', 'r_eye', 'l_ear', 'r_ear', 'l_shoulder', 'r_shoulder', 'l_elbow',
        'r_elbow', 'l_wrist', 'r_wrist', 'l_hip', 'r_hip', 'l_knee', 'r_knee', 'l_ankle',
        'r_ankle')),
    Layout('body25', (
        'nose', 'neck', 'r_shoulder', 'r_elbow', 'r_wrist', 'l_shoulder', 'l_elbow', 'l_wrist',
        'mid_hip', 'r_hip', 'r_knee', 'r_ankle', 'l_hip', 'l_knee', 'l_ankle', 'r_eye', 'l_eye',
        'r_ear', 'l_ear', 'l_big_toe', 'l_small_toe', 'l_heel', 'r_big_toe', 'r_small_toe',
        'r_heel')),
    Layout('coco18', (  # OpenPose's COCO model
        'nose', 'neck', 'r_shoulder', 'r_elbow', 'r_wrist', 'l_shoulder', 'l_elbow', 'l_wrist',
        'r_hip', 'r_knee', 'r_ankle', 'l_hip', 'l_knee', 'l_ankle', 'r_eye', 'l_eye', 'r_ear',
        'l_ear')),
    Layout('h36m17', (
        'mid_hip', 'r_hip', 'r_knee', 'r_ankle', 'l_hip', 'l_knee', 'l_ankle', 'spine', 'neck',
        'nose', 'head_top', 'l_shoulder', 'l_elbow', 'l_wrist', 'r_shoulder', 'r_elbow',
        'r_wrist')),
    Layout('halpe26', (
        'nose', 'l_eye', 'r_eye', 'l_ear', 'r_ear', 'l_shoulder', 'r_shoulder', 'l_elbow',
        'r_elbow', 'l_wrist', 'r_wrist', 'l_hip', 'r_hip', 'l_knee', 'r_knee', 'l_ankle',
        'r_ankle', 'head_top', 'neck', 'mid_hip', 'l_big_toe', 'r_big_toe', 'l_small_toe',
        'r_small_toe', 'l_heel', 'r_heel')),
    Layout('blazepose33', (  # MediaPipe; its foot_index is the big toe
        'nose', 'l_eye_inner', 'l_eye', 'l_eye_outer', 'r_eye_inner', 'r_eye', 'r_eye_outer',
        'l_ear', 'r_ear', 'l_mouth', 'r_mouth', 'l_shoulder', 'r_shoulder', 'l_elbow', 'r_elbow',
        'l_wrist', 'r_wrist', 'l_pinky', 'r_pinky', 'l_index', 'r_index', 'l_thumb', 'r_thumb',
        'l_hip', 'r_hip', 'l_knee', 'r_knee', 'l_ankle', 'r_ankle', 'l_heel', 'r_heel',
        'l_big_toe', 'r_big_toe')),
    Layout('rep155', (  # ROS4HRI
        'nose', 'neck', 'r_shoulder', 'r_elbow', 'r_wrist', 'l_shoulder', 'l_elbow', 'l_wrist',
        'r_hip', 'r_knee', 'r_ankle', 'l_hip', 'l_knee', 'l_ankle', 'l_eye', 'r_eye', 'l_ear',
        'r_ear')),
    Layout('mpose13_openpose', (
        'head', 'r_shoulder', 'r_elbow', 'r_wrist', 'l_shoulder', 'l_elbow', 'l_wrist', 'r_hip',
        'r_knee', 'r_foot', 'l_hip', 'l_knee', 'l_foot')),
    Layout('mpose13_coco', (
        'head', 'l_shoulder', 'r_shoulder', 'l_elbow', 'r_elbow', 'l_wrist', 'r_wrist', 'l_hip',
        'r_hip', 'l_knee', 'r_knee', 'l_ankle', 'r_ankle')),
)}

TORSO = tuple(LAYOUTS['coco17'].joints.index(name) for name in (
    'l_shoulder', 'r_shoulder', 'l_hip', 'r_hip'))
"""Where ``coco17`` has the shoulders and the hips."""

# A joint that a layout lacks is the mean of its parts, or else the joint that stands in for it.
_PARTS = {
    'head': ('nose', 'l_eye', 'r_eye', 'l_ear', 'r_ear'),
    'neck': ('l_shoulder', 'r_shoulder'),
    'mid_hip': ('l_hip', 'r_hip'),
    'l_foot': ('l_ankle', 'l_big_toe', 'l_small_toe', 'l_heel'),
    'r_foot': ('r_ankle', 'r_big_toe', 'r_small_toe', 'r_heel'),
    'l_ankle': ('l_foot',),
    'r_ankle': ('r_foot',),
}


def get_layout(name: str) -> Layout:
    """Return the layout called ``name``; an unknown name is a ValueError that lists the known."""
    try:
        return LAYOUTS[name]
    except KeyError:
        known = ', '.join(LAYOUTS)
        raise ValueError(
            f'unknown keypoint layout {printable(name)!r}; known layouts: {known}') from None


@cache
def joint_sources(layout: str, joints: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """
    Return, for each wanted joint, the indices of ``layout`` whose mean it is.

    :raises ValueError: the layout has neither the joint nor any part of it.
    """
    have = get_layout(layout).joints
    sources = []
    for joint in joints:
        names = (joint,) if joint in have else tuple(p for p in _PARTS.get(joint, ()) if p in have)
        if not names:
            raise ValueError(f'layout {layout!r} has no joint {joint!r} and no part of it')
        sources.append(tuple(have.index(name) for name in names))
    return tuple(sources)
