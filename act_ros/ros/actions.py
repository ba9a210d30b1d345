"""Tracked poses in, actions out: the model that all cameras of a node share, and its topics."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from time import monotonic_ns
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image

from act_ros.actions.classifier import CAUSES, ActClassifier, ActOptions, DecisionOptions
from act_ros.actions.recognizer import ActionRecognizer, WindowOptions
from act_ros.core.adapters import INPUTS, PoseInputOptions, frame_of_detections
from act_ros.core.cdr import read_keypoints, read_stamp, write_actions, write_keypoints
from act_ros.core.frame import Frame
from act_ros.core.place import Camera
from act_ros.core.places import PlaceOptions, Places
from act_ros.core.stamps import StampOptions, receive
from act_ros.core.text import ERROR_LENGTH, printable
from act_ros.msg import ActionArray, ActionLabels, KeypointArray
from act_ros.ros.bodies import Bodies, import_messages
from act_ros.ros.health import Health
from act_ros.ros.managed import USER_ERRORS, ManagedNode
from act_ros.ros.parameters import Values
from act_ros.ros.topics import LATCHED, LEVEL, PublisherNames, TopicLog, steady_timer, topic_of
from act_ros.srv import LoadBundle

_PERIOD = 0.5  # seconds between two looks at what is published


class ActionModel:
    """The action model of a node: ``~/labels`` (latched) and the service ``~/load_bundle``."""

    def __init__(self, node: ManagedNode) -> None:
        self._node, self._outputs = node, list[ActionOutput]()
        act = node.parameters(ActOptions)
        self.classifier = ActClassifier(act.bundle, act.act_threads)
        self._labels = node.create_publisher(ActionLabels, '~/labels', LATCHED)
        # In a group of its own: it takes a second or two, and nothing else shall wait for it.
        self._service = node.create_service(
            LoadBundle, '~/load_bundle', self._load,
            callback_group=MutuallyExclusiveCallbackGroup())
        self._announce()

    def output(self, health: Health, rotation: int, camera: str = '') -> ActionOutput:
        """Return a recognizer with this model, and its topic ``actions``."""
        made = ActionOutput(self._node, self.classifier, health, rotation, camera)
        self._outputs.append(made)
        return made

    def check(self, values: Values) -> None:
        """Raise ValueError where parameters name labels that the model cannot answer."""
        bundle = self.classifier.bundle
        values[DecisionOptions].alike_of(bundle, values[ActOptions].allowed(bundle))

    def reconfigure(self) -> None:
        """Take over the node's parameters."""
        for output in self._outputs:
            output.reconfigure(self.classifier)

    async def _load(self, request: Any, response: Any) -> Any:
        """Answer `~/load_bundle`, whatever goes wrong; frames are answered meanwhile."""
        before = self.classifier, self._node.parameters(ActOptions).bundle
        try:
            classifier = await self._loaded(request.bundle)
            await self._still_offered()
            self._use(classifier, request.bundle)
            self._announce()
        except Exception as error:
            await self._still_offered()
            self._use(*before)
            reason = printable(
                error if isinstance(error, USER_ERRORS) else repr(error), ERROR_LENGTH)
            response.message = f'{self.classifier.bundle.name} stays in use: {reason}'
            with self._node.lock:
                for output in self._outputs:
                    output.health.record_error(f'cannot load the bundle: {reason}')
            self._node.get_logger().error(f'cannot load the bundle: {reason}')
            return response
        response.success = True
        response.message = f'{classifier.bundle.name} is in use, SHA-256 {classifier.bundle.sha256}'
        return response

    async def _loaded(self, bundle: str) -> ActClassifier:
        """Load a model in a thread of its own."""
        loaded, executor = Future(), self._node.executor
        assert executor is not None  # it has called us
        threads = self._node.parameters(ActOptions).act_threads

        def load() -> None:
            try:
                loaded.set_result(ActClassifier(bundle, threads))
            except Exception as error:
                loaded.set_exception(error)
            executor.wake()

        threading.Thread(target=load, daemon=True).start()
        classifier: ActClassifier = await loaded
        return classifier

    async def _still_offered(self) -> None:
        """Never return once a cleanup took the service away: to answer would end the process."""
        while self._service not in self._node.services:
            await Future()

    def _use(self, classifier: ActClassifier, bundle: str) -> None:
        with self._node.lock:
            for output in self._outputs:
                output.reconfigure(classifier)
            self.classifier = classifier
        self._node.parameters.set_fixed('bundle', bundle)

    def _announce(self) -> None:
        bundle = self.classifier.bundle
        self._labels.publish(ActionLabels(model=bundle.name, labels=list(bundle.labels)))
        self._node.get_logger().info(
            f'model {bundle.name}: {len(bundle.labels)} actions, {bundle.num_frames} frames at '
            f'{bundle.frame_rate:g} Hz')


class PlaceInput(Places):
    """Subscribes to ``camera_info`` and ``depth`` of a camera."""

    def __init__(self, node: ManagedNode, health: Health, camera: str = '') -> None:
        super().__init__(lambda: node.parameters(PlaceOptions), health.drops, health.drop,
                         lambda data: deserialize_message(data, Image))
        self._health, self._clock = health, node.get_clock()
        self._is_by_arrival = node.parameters(StampOptions).stamps == 'arrival'
        health.facts['camera_info'] = 'none yet'
        node.subscribe(CameraInfo, topic_of(camera, 'camera_info'), self._take_info,
                       qos_profile_sensor_data, health=health)
        self.has_depth = node.parameters(PlaceOptions).depth
        if self.has_depth:
            node.subscribe(
                Image, topic_of(camera, 'depth'), self._take_depth,
                QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT), is_raw=True,
                health=health)

    def _take_info(self, message: CameraInfo) -> None:
        self.info = message
        self._health.facts['camera_info'] = f'{message.width}x{message.height}' + (
            '' if Camera.of_info(message) else ', not calibrated')

    def _take_depth(self, data: bytes) -> None:
        try:
            stamp = read_stamp(data)
            # As those of the keypoints: cameras without stamps have none in either.
            self.add_depth(self._clock.now().nanoseconds if self._is_by_arrival else stamp, data)
        except ValueError as error:
            self._health.drop('unreadable depth image', error)


class ActionOutput:
    """A recognizer with its topic ``actions``."""

    def __init__(
        self, node: ManagedNode, classifier: ActClassifier, health: Health, rotation: int,
        camera: str,
    ) -> None:
        self._node, self.health = node, health
        self._recognizer = ActionRecognizer(classifier, rotation=rotation)
        health.include_drops(self._recognizer.drops)
        self.places = PlaceInput(node, health, camera)
        self.reconfigure(classifier)
        self._publisher = node.create_publisher(ActionArray, topic_of(camera, 'actions'), LEVEL)
        self._names = PublisherNames()
        steady_timer(node, _PERIOD, self._see_others)

    def _see_others(self) -> None:
        """Tell where others answer on this topic, too: whoever reads it cannot tell them apart."""
        topic = self._publisher.topic_name
        names = self._names.update(self._node.get_publishers_info_by_topic(topic)) if (
            self._node.is_active) else []
        rivals = '' if len(names) < 2 else (
            f'others publish on {topic}, too: {printable(", ".join(names), 500)}; their answers '
            'mix, give each node a topic of its own')
        if rivals and rivals != self.health.rivals:  # a node's name comes later than its publisher
            self._node.get_logger().warning(printable(rivals, 1000))
        self.health.rivals = rivals

    def reconfigure(self, classifier: ActClassifier) -> None:
        """Go on with a model and the node's parameters; ValueError where they do not fit."""
        act = self._node.parameters(ActOptions)
        self._recognizer.reconfigure(
            classifier, self._node.parameters(WindowOptions),
            self._node.parameters(DecisionOptions), act.allowed(classifier.bundle))
        self.health.facts |= {
            'action model': classifier.bundle.name,
            'action model SHA-256': classifier.bundle.sha256}

    def publish(self, frame: Frame) -> None:
        """Recognize and publish the actions of a frame of tracked persons, if it is of use."""
        try:
            with self.health.timed('recognition'):
                frame.actions = self._recognizer.update(
                    frame.stamp, frame.persons, frame.layout, frame.time, frame.size)
        except ValueError as error:
            self.health.drop('unusable keypoints', error)
            return
        if frame.actions is None:
            return
        if self.places.info or self.places.has_depth:  # else nothing is known of any place
            self.places.fill(frame)
        unknown = self._recognizer.unknown
        self.health.facts |= {f'unknown: {cause}': str(unknown[cause]) for cause in CAUSES}
        self._publisher.publish(write_actions(frame, self._recognizer.classifier.bundle.name))
        self.health.count_answer(
            self._node.get_clock().now().nanoseconds - frame.stamp, len(frame.persons))


def _messages_of(kind: str) -> Any:
    """Return the module of the messages that a kind of poses comes in."""
    return import_messages(INPUTS[kind].partition('/')[0], f'input {kind}')


class PoseInput:
    """
    Subscribes to tracked poses for an output: of the kind that the parameter ``input`` names, or
    that somebody publishes.

    Those of another package are published on ``~/keypoints``, too, for whoever knows only those.

    :raises RuntimeError: the messages of that kind are not installed.
    """

    def __init__(self, node: ManagedNode, output: ActionOutput) -> None:
        self._node, self._output, self._health = node, output, output.health
        self._stamps = node.parameters(StampOptions).stamps
        self._clock = node.get_clock()
        kind = node.parameters(PoseInputOptions).input
        if kind == 'rep155' and self._stamps == 'arrival':
            raise ValueError('stamps: arrival, but ids and skeletons of input: rep155 belong '
                             'together by their stamps')
        self._health.source = node.resolve_topic_name(
            '/humans/bodies/tracked' if kind == 'rep155' else 'keypoints')
        self._topic_log = TopicLog(
            node, self._health.source, lambda: node.is_active, health=self._health)
        self._bodies: Bodies | None = None
        self._keypoints: Publisher | None = None
        self._kind = 'keypoints' if kind == 'auto' else kind
        self._subscription: Subscription | None = self._subscribe(_messages_of(self._kind))
        if kind == 'auto':
            steady_timer(node, _PERIOD, self._follow)

    def _subscribe(self, messages: Any) -> Subscription:
        node, topic = self._node, self._health.source
        if self._kind == 'keypoints':
            return node.subscribe(KeypointArray, topic, self._take, LEVEL, is_raw=True)
        if not self._keypoints:
            with node.entities.record():  # perhaps later than all others
                self._keypoints = node.create_publisher(KeypointArray, '~/keypoints', LEVEL)
        if self._kind == 'yolo':
            return node.subscribe(messages.DetectionArray, topic, self._take_detections, LEVEL)
        self._bodies = Bodies(
            node, topic, messages, self._image_size, self._health.drops, self._take_frames)
        return node.subscribe(messages.IdsList, topic, self._take_ids, LEVEL)

    def _follow(self) -> None:
        """Change over to what is published, where nobody publishes what is subscribed to."""
        types = {publisher.topic_type for publisher in
                 self._node.get_publishers_info_by_topic(self._health.source)}
        kind = self._kind if INPUTS[self._kind] in types else next(
            (kind for kind, name in INPUTS.items() if name in types), self._kind)
        try:
            messages = _messages_of(kind)
        except RuntimeError as error:
            self._health.record_error(str(error))
            self._node.get_logger().error(
                printable(error, ERROR_LENGTH), throttle_duration_sec=60.0)
            return
        if not self._subscription:
            self._kind = kind
            self._subscription = self._subscribe(messages)
            self._health.restart()  # another sender counts its messages by other numbers
        elif kind != self._kind:
            # A topic has one type in a process, and the executor lets go of it after this call.
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
            if self._bodies:
                self._bodies.close()
            self._node.get_logger().info(
                f'takes {printable(INPUTS[kind])} on {self._health.source}')

    def _count(self, info: Mapping[str, Any]) -> None:
        self._topic_log.messages += 1
        self._health.count_input(info.get('publication_sequence_number'))

    def _take(self, data: bytes, info: Mapping[str, Any]) -> None:
        self._count(info)
        try:
            frame = read_keypoints(data)
        except ValueError as error:
            self._health.drop('unreadable message', error)
            return
        self._receive(frame)
        self._output.publish(frame)

    def _receive(self, frame: Frame) -> None:
        receive(frame, self._clock.now().nanoseconds, self._stamps, monotonic_ns())

    def _take_detections(self, message: Any, info: Mapping[str, Any]) -> None:
        self._count(info)
        frame = frame_of_detections(message, self._health.drops)
        if not all(frame.size):
            frame.size = self._output.places.image_size or (0, 0)
        self._take_frames([frame])

    def _take_ids(self, message: Any, info: Mapping[str, Any]) -> None:
        self._count(info)
        assert self._bodies is not None
        self._bodies.take_ids(message)

    def _image_size(self) -> tuple[int, int]:
        return self._output.places.image_size or self._node.parameters(PoseInputOptions).image_size

    def _take_frames(self, frames: list[Frame]) -> None:
        assert self._keypoints is not None
        for frame in frames:
            self._receive(frame)
            self._keypoints.publish(write_keypoints(frame))
            self._output.publish(frame)
