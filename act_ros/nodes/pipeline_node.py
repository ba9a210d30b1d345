"""
pipeline_node: pose_node and act_node in one process, without images over DDS.

Opens a video file or a camera itself (parameter ``source``), or subscribes ``image``, or the images
of several cameras (parameter ``cameras``), which take turns at the same networks; and
``camera_info`` and, if asked for, ``depth``, to say where people are. Publishes
``~/keypoints``, ``actions``, the latched ``~/labels`` and, on demand, ``~/annotated``.
"""

from __future__ import annotations

from copy import copy
from functools import partial

from act_ros.actions.classifier import ActOptions, DecisionOptions
from act_ros.actions.recognizer import WindowOptions
from act_ros.core.frame import Frame
from act_ros.core.places import PlaceOptions
from act_ros.core.rotation import MountOptions
from act_ros.core.stamps import StampOptions
from act_ros.persons.estimator import PoseEstimator
from act_ros.persons.models import PoseOptions
from act_ros.persons.tracker import TrackerOptions
from act_ros.ros.actions import ActionModel
from act_ros.ros.annotator import Annotator
from act_ros.ros.health import Health, HealthOptions
from act_ros.ros.images import ImageInput, VideoInput
from act_ros.ros.managed import ManagedNode, Work
from act_ros.ros.options import (
    CameraOptions,
    DrawingOptions,
    ImageOptions,
    StartOptions,
    VideoOptions,
)
from act_ros.ros.parameters import Values
from act_ros.ros.persons import PersonOutput, load_estimator
from act_ros.ros.run import run

OPTIONS = (
    ('', StartOptions), ('', CameraOptions), ('', VideoOptions), ('', StampOptions),
    ('', ImageOptions), ('', PoseOptions), ('', MountOptions), ('', ActOptions),
    ('tracker', TrackerOptions), ('window', WindowOptions), ('decision', DecisionOptions),
    ('place', PlaceOptions), ('drawing', DrawingOptions), ('diagnostics', HealthOptions))


class Camera:
    """The way of one camera's images to actions: who and what is seen by it alone."""

    def __init__(
        self, node: ManagedNode, name: str, health: Health, estimator: PoseEstimator,
        model: ActionModel, rotation: int,
    ) -> None:
        self._health = health
        self._actions = model.output(health, rotation, name)
        self.persons = PersonOutput(node, estimator, health, rotation, name)
        self._annotator = Annotator(node, node.parameters, name, node.subscribe)
        if not node.parameters(VideoOptions).source:
            self._input = ImageInput(node, health, self.process, name)

    def play(self, frame: Frame) -> None:
        """Take a frame of a video, in a thread of its own."""
        self._health.count_input()
        self.process(frame)

    def process(self, frame: Frame) -> None:
        """Answer an image."""
        if self.persons.find(frame):
            self._actions.publish(frame)
            self.persons.publish(frame)
            self._annotator.draw(frame)


class PipelineWork(Work):
    """From cameras to actions in one process."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self._video: VideoInput | None = None
        cameras = node.parameters(CameraOptions)
        names = cameras.names
        if node.parameters(VideoOptions).source and names != ('',):
            raise ValueError('parameters source and cameras: give one of them')
        self.health = [Health(name or 'images') for name in names]
        estimator = load_estimator(node, *self.health)
        self._model = ActionModel(node)
        self._cameras = [
            Camera(node, name, health, copy(estimator), self._model, rotation)
            for name, health, rotation in zip(
                names, self.health,
                cameras.each_rotation(node.parameters(MountOptions).rotation), strict=True)]

    def start(self) -> None:
        """Open the video, if there is one."""
        video = self._node.parameters(VideoOptions)
        if video.source:
            self.health[0].source = video.source
            self._video = VideoInput(
                self._node, video, self._node.guarded(self._cameras[0].play, self.health[0]))
            self._video.start()

    def stop(self) -> None:
        """Close the video; raises what ended it, if that was an error."""
        if self._video:
            self._video.close()

    def check(self, values: Values) -> None:
        """Refuse what the model does not know."""
        self._model.check(values)

    def reconfigure(self) -> None:
        """Take over the node's parameters."""
        self._model.reconfigure()
        for camera in self._cameras:
            camera.persons.reconfigure()


NODE = partial(ManagedNode, 'pipeline_node', OPTIONS, PipelineWork)

if __name__ == '__main__':
    run(NODE, __doc__)
