"""What can be set on each node; `act_ros.ros.parameters` makes ROS parameters of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from act_ros.core.frame import MAX_PIXELS
from act_ros.core.options import Options, option
from act_ros.core.person import SEEN_SCORE
from act_ros.core.rotation import ROTATIONS


@dataclass(frozen=True)
class StartOptions(Options):
    """How a managed node starts."""

    autostart: bool = option(
        True, 'Configure and activate at start. Otherwise the node waits for `ros2 lifecycle '
        'set`, or for a lifecycle manager.', fixed=True)


@dataclass(frozen=True)
class SubscriptionOptions(Options):
    """How images are subscribed to."""

    transport: str = option(
        'raw', "'raw' subscribes to `image`, 'compressed' to `image/compressed`.",
        choices=('raw', 'compressed'), fixed=True)
    reliability: str = option(
        'best_available', "'best_effort' takes any camera's images and loses some, above all of "
        "large ones; 'reliable' loses none, but hears only a camera that is reliable, too; "
        "'best_available' is what the camera is.",
        choices=('best_available', 'best_effort', 'reliable'), fixed=True)
    max_pixels: int = option(
        MAX_PIXELS, 'Larger images are refused, before memory is made ready for what a few forged '
        'bytes claim.', low=1, high=1_000_000_000)


@dataclass(frozen=True)
class ImageOptions(SubscriptionOptions):
    """Images that are looked at."""

    max_rate: float = option(
        0.0, 'Most images a second that are looked at, by their stamps; 0 looks at all there is '
        'time for.', low=0.0, high=1000.0, least=0.01)


@dataclass(frozen=True)
class CameraOptions(Options):
    """Several cameras before one process."""

    cameras: tuple[str, ...] = option(
        ('',), 'Names of cameras that share the networks: of each, `<name>/image` is looked at and '
        '`<name>/actions` answers. An empty list (or one empty string) stands for one camera '
        'without a name: `image` and `actions`.', fixed=True)
    rotations: tuple[int, ...] = option(
        (-1,), 'The `rotation` of each of `cameras`, in their order; -1 is that of `rotation`. A '
        'single one holds for all.', choices=(-1, *ROTATIONS), fixed=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.names
        if len(self.rotations) not in (1, len(names)):
            raise ValueError(f'rotations are {len(self.rotations)}, but cameras {len(names)}')
        if len(set(names)) < len(names):
            raise ValueError(f'cameras {", ".join(names)} must differ from one another')
        for name in names:
            if name and not re.fullmatch(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', name, re.ASCII):
                raise ValueError(f'cameras: {name!r} cannot be part of a topic name; begin with a '
                                 'letter, go on with letters, digits and _')

    @property
    def names(self) -> tuple[str, ...]:
        """The cameras; one empty name where there are no several."""
        return tuple(name for name in self.cameras if name) or ('',)

    def each_rotation(self, rotation: int) -> list[int]:
        """Return the rotation of each camera, degrees; ``rotation`` for those without their own."""
        own = self.rotations * (len(self.names) // len(self.rotations))
        return [rotation if degrees < 0 else degrees for degrees in own]


@dataclass(frozen=True)
class DrawingOptions(Options):
    """What is drawn into `~/annotated`."""

    min_score: float = option(
        SEEN_SCORE, 'Keypoints below this score are not drawn.', low=0.0, high=1.0)
    captions: bool = option(True, "Write everybody's id and action.")
    history: float = option(
        0.0, "Seconds of people's actions that are drawn below the image, and what `/diagnostics` "
        'says is wrong: for viewers without displays for them, such as RViz. 0: nothing.',
        low=0.0, high=600.0, least=1.0)


@dataclass(frozen=True)
class VideoOptions(Options):
    """A file or a camera as a source of images."""

    source: str = option(
        '', 'Path of a video, an address such as rtsp://camera/stream, a device number such as 0, '
        'or /dev/videoN.', fixed=True)
    loop: bool = option(False, 'Begin a file again when it ends.', fixed=True)
    frame_id: str = option('camera', 'frame_id of the images.', fixed=True)


@dataclass(frozen=True)
class PublishOptions(Options):
    """How video_node publishes."""

    transport: str = option(
        'raw', "'raw' publishes `image`, 'compressed' JPEG on `image/compressed`.",
        choices=('raw', 'compressed'), fixed=True)
    pace: str = option(
        'realtime', "'realtime' plays a file at its own rate; 'consumed' sends the next frame "
        'when `actions` has answered the last.', choices=('realtime', 'consumed'), fixed=True)
    wait: float = option(
        30.0, 'Longest time in seconds to wait for a subscriber before the first image.',
        low=0.0, high=3600.0, fixed=True)


@dataclass(frozen=True)
class MarkerOptions(Options):
    """Where markers stand."""

    distance: float = option(
        2.0, 'Metres from the camera to the markers of people whose place is not known; their '
        'size grows with it.',
        low=0.1, high=100.0)
    field_of_view: float = option(
        60.0, 'Horizontal field of view of the camera in degrees, while `camera_info` is not '
        'published.', low=1.0, high=170.0)
    min_score: float = option(
        SEEN_SCORE, 'Keypoints below this score are not shown.', low=0.0, high=1.0)


@dataclass(frozen=True)
class HumansOptions(Options):
    """What ROS4HRI is told."""

    root: str = option('/humans', 'Namespace of the topics that REP-155 defines.', fixed=True)
