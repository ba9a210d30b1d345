"""From tracked persons to actions: the model that all cameras of a node share, and its topics."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.task import Future

from act_ros.actions.classifier import CAUSES, ActClassifier, ActOptions, DecisionOptions
from act_ros.actions.recognizer import ActionRecognizer, WindowOptions
from act_ros.core.frame import Frame
from act_ros.core.text import ERROR_LENGTH, printable
from act_ros.msg import ActionArray, ActionLabels
from act_ros.ros.conversions import to_actions
from act_ros.ros.health import Health
from act_ros.ros.managed import USER_ERRORS, ManagedNode
from act_ros.ros.places import PlaceInput
from act_ros.ros.topics import LATCHED, LEVEL, DropLog, topic_of
from act_ros.srv import LoadBundle


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

    def reconfigure(self) -> None:
        """Take over the node's parameters."""
        for output in self._outputs:
            output.reconfigure(self.classifier)

    async def _load(self, request: Any, response: Any) -> Any:
        """Answer `~/load_bundle`, whatever goes wrong; frames are answered meanwhile."""
        before = self.classifier, self._node.parameters(ActOptions).bundle
        try:
            classifier = await self._loaded(request.bundle)
            self._use(classifier, request.bundle)
            self._announce()
        except Exception as error:
            self._use(*before)
            reason = printable(
                error if isinstance(error, USER_ERRORS) else repr(error), ERROR_LENGTH)
            response.message = f'{self.classifier.bundle.name} stays in use: {reason}'
            for output in self._outputs:
                output.health.record_error(f'cannot load the bundle: {reason}')
            self._node.get_logger().error(f'cannot load the bundle: {reason}')
            return response
        response.success = True
        response.message = f'{classifier.bundle.name} is in use, SHA-256 {classifier.bundle.sha256}'
        return response

    async def _loaded(self, bundle: str) -> ActClassifier:
        """Return a model that a thread loads."""
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
        while self._service not in self._node.services:
            await Future()  # cleaned up meanwhile: an answer that cannot be sent ends the process
        return classifier

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


class ActionOutput:
    """A recognizer with its topic ``actions``."""

    def __init__(
        self, node: ManagedNode, classifier: ActClassifier, health: Health, rotation: int,
        camera: str,
    ) -> None:
        self._node, self.health = node, health
        self._recognizer = ActionRecognizer(classifier, rotation=rotation)
        self._drop_log = DropLog(node, self._recognizer.drops, camera)
        health.include_drops(self._recognizer.drops)
        self.places = PlaceInput(node, health, camera)
        self.reconfigure(classifier)
        self._publisher = node.create_publisher(ActionArray, topic_of(camera, 'actions'), LEVEL)

    def reconfigure(self, classifier: ActClassifier) -> None:
        """Go on with a model and the node's parameters; ValueError where they do not fit."""
        act = self._node.parameters(ActOptions)
        self._recognizer.reconfigure(
            classifier, self._node.parameters(WindowOptions),
            self._node.parameters(DecisionOptions), act.allowed(classifier.bundle))
        self.health.facts |= {
            'action model': classifier.bundle.name,
            'action model SHA-256': classifier.bundle.sha256}

    def publish(self, frame: Frame) -> bool:
        """Recognize and publish the actions of a frame of tracked persons; False if unusable."""
        try:
            with self.health.timed('recognition'):
                frame.actions = self._recognizer.update(
                    frame.stamp, frame.persons, frame.layout)
        except ValueError as error:
            self._drop_log.drop('unusable keypoints', error, self.health)
            return False
        self._drop_log.tell()
        if frame.actions is None:
            return False
        self.places.fill(frame)
        unknown = self._recognizer.unknown
        self.health.facts |= {f'unknown: {cause}': str(unknown[cause]) for cause in CAUSES}
        self._publisher.publish(to_actions(frame, self._recognizer.classifier.bundle.name))
        return True
