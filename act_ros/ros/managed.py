"""
Managed nodes: the life cycle that pose_node, act_node and pipeline_node share.

Configure loads models and makes topics, activate lets images or keypoints in, deactivate shuts them
out, cleanup gives everything back. See the design article on managed nodes, design.ros2.org.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakSet

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.event_handler import EventHandler, SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from act_ros.core.memory import give_memory_back
from act_ros.core.text import ERROR_LENGTH, printable, printable_traceback
from act_ros.ros.bond import Bond
from act_ros.ros.health import THROTTLE, Health, HealthOptions, Level, Report, guarded
from act_ros.ros.options import StartOptions
from act_ros.ros.parameters import Groups, Parameters, Values
from act_ros.ros.rclpy_private import refuse_impossible_transitions, state_of
from act_ros.ros.topics import LEVEL, steady_timer

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR)

USER_ERRORS = (ValueError, OSError, RuntimeError, ParameterException)
"""What a bad parameter, model or video raises: one clear line, no traceback."""

_REPORT_PERIOD = 1.0  # seconds


class Work:
    """
    What a managed node does; made by configure and dropped by cleanup.

    Its topics and timers are made while it is constructed: cleanup destroys those by itself.
    """

    health: Sequence[Health] = ()
    """The health of each of its streams of frames."""

    def start(self) -> None:
        """Begin; messages come in only afterwards."""

    def stop(self) -> None:
        """End; no message comes in any more."""

    def check(self, values: Values) -> None:
        """Raise ValueError where changed parameters do not suit it: `reconfigure` must not fail."""

    def reconfigure(self) -> None:
        """Take over the node's parameters, some of which have changed."""


class ManagedNode(LifecycleNode):
    """
    A lifecycle node around some work.

    A frame may be worked on in another thread, as those of a video are. While a thread holds
    ``lock``, no other one changes parameters, models or health.
    A transition that fails is told in the log, and may be tried again. Where something unforeseen
    goes wrong, the node gives everything back and is unconfigured again.
    """

    def __init__(
        self, name: str, groups: Groups, make_work: Callable[[ManagedNode], Work],
    ) -> None:
        super().__init__(name)
        # First of all: newer versions of rclpy destroy a node, too, whose parameters were refused.
        self._gate, self._is_starting = Gate(), False
        self._make_work, self._work = make_work, Work()
        # Models and topics may be changed, but not under the work that uses them.
        self.parameters = Parameters(
            self, groups, self._reconfigure, check=lambda values: self._work.check(values),
            is_managed=True)
        self.lock = threading.RLock()
        self.outlasting: dict[str, Any] = {}
        """What a cleanup leaves to the work that is made next, by name."""
        self._failure = ''
        self._diagnostics = Diagnostics(self, self._reports)
        self._bond = Bond(self)
        self.entities = Entities(self)
        refuse_impossible_transitions(self)

    def bring_up(self) -> bool:
        """Configure and activate, unless `autostart` is off; False where that failed."""
        if not self.parameters(StartOptions).autostart:
            self.get_logger().info('waits to be configured: autostart is off')
            return True
        self._is_starting = True
        is_up = self.trigger_configure() is SUCCESS and self.trigger_activate() is SUCCESS
        self._is_starting = False
        return is_up

    @property
    def is_active(self) -> bool:
        """Whether messages come in."""
        return self._gate.is_open

    def subscribe(
        self, kind: type, topic: str, callback: Callable[..., None], qos: Any, *,
        is_raw: bool = False, event_callbacks: SubscriptionEventCallbacks | None = None,
        health: Health | None = None,
    ) -> Subscription:
        """
        Subscribe; only what comes while the node is active reaches the callback.

        If ``is_raw``, it gets the bytes of each message. ``health`` as for `guarded`.

        The subscription stays all the time: making them anew loses messages (rclpy issue 1147).
        """
        with self.entities.record():  # perhaps made later than all others
            return self.create_subscription(
                kind, topic, self.guarded(callback, health), qos, callback_group=self._gate,
                raw=is_raw, event_callbacks=event_callbacks)

    def guarded(
        self, callback: Callable[..., None], health: Health | None = None,
    ) -> Callable[..., None]:
        """
        Return a callback that has the lock, for any thread.

        Its errors that nobody foresaw cost a frame, but not the node. They are counted in
        ``health`` or, without one, in that of every stream of the work.
        """
        return guarded(callback, partial(self._lose_frame, health), self.lock)

    def _lose_frame(self, health: Health | None, error: Exception) -> None:
        if not self.context.ok():
            raise error  # told to stop in the middle of it
        for one in (health,) if health else self._work.health:
            one.count_error(error)
        self.get_logger().error(
            f'a frame is lost:\n{printable_traceback()}', throttle_duration_sec=THROTTLE)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and make everything."""
        result = self._attempt('configure', self._configure)
        if result is not SUCCESS:
            self._release()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let messages in."""
        result = self._attempt('activate', self._start)
        self._gate.is_open = result is SUCCESS
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take no more messages in."""
        self._attempt('deactivate', self._stop)
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        self._release()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, and release everything."""
        self._attempt('shut down', self._stop)
        self._release()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, so that configure may be tried again."""
        failure = self._failure
        result = self.on_shutdown(state)
        self._failure = failure
        return result

    def destroy_node(self) -> None:
        """Stop, then destroy; raises what ended the work, if that was an error."""
        try:
            self._stop()
        finally:
            super().destroy_node()

    def _attempt(self, what: str, step: Callable[[], None]) -> TransitionCallbackReturn:
        """Do a step of the life cycle; tell why it failed."""
        try:
            step()
        except Exception as error:
            if not self.context.ok():
                return FAILURE  # told to stop in the middle of it
            is_foreseen = isinstance(error, USER_ERRORS)
            self._failure = f'cannot {what}: {printable(error, ERROR_LENGTH)}'
            self.get_logger().error(
                self._failure if is_foreseen else f'cannot {what}:\n{printable_traceback()}')
            return FAILURE if is_foreseen else ERROR
        self._failure = ''
        return SUCCESS

    def _configure(self) -> None:
        self.parameters.is_locked = True
        with self.entities.record():
            self._work = self._make_work(self)

    def _reconfigure(self) -> None:
        with self.lock:
            self._work.reconfigure()

    def _reports(self) -> dict[str, Report]:
        """Return what `/diagnostics` is to tell."""
        state = state_of(self)
        reports = {'life cycle': Report(
            Level.ERROR if self._failure else Level.OK, self._failure or state, {'state': state})}
        if self.is_active:
            with self.lock:
                self._tell_news()
                options = self.parameters(HealthOptions)
                reports |= {health.name: health.report(options) for health in self._work.health}
        return reports

    def _tell_news(self) -> None:
        """Log what was dropped, and why."""
        for health in self._work.health:
            about = f'{health.name}: ' if len(self._work.health) > 1 else ''
            for level, text in health.news():
                if level is Level.ERROR:
                    self.get_logger().error(printable(about + text, 1000))
                else:
                    self.get_logger().warning(printable(about + text, 1000))

    def _start(self) -> None:
        if not self._is_starting:
            self._gate.forget_messages(self)  # they came while the node was inactive
        self._work.start()
        self._bond.set_active(True)
        with self.lock:
            for health in self._work.health:
                health.restart()

    def _stop(self) -> None:
        if self.is_active:
            with self.lock:  # not while a video's thread is waited for, which may want it
                self._tell_news()
            self._gate.is_open = False
            self._bond.set_active(False)
            self._work.stop()

    def _release(self) -> None:
        self._work = Work()
        self.entities.destroy()
        self.parameters.is_locked = False


class Gate(MutuallyExclusiveCallbackGroup):
    """Subscriptions whose messages are not even taken from the middleware while it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False

    def can_execute(self, entity: Any) -> bool:
        """Tell the executor whether to look for messages."""
        return self.is_open and bool(super().can_execute(entity))

    def forget_messages(self, node: Node) -> None:
        """Discard what waits in the queues of the node's subscriptions in this group."""
        for subscription in node.subscriptions:
            if subscription.callback_group is self:
                with subscription.handle:
                    while subscription.handle.take_message(
                            subscription.msg_type, subscription.raw):
                        pass


class Entities:
    """What is made on a node within ``record``, to be destroyed all at once."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._made = WeakSet[Any]()  # weak: keeps nothing alive that is destroyed sooner

    @contextmanager
    def record(self) -> Iterator[None]:
        """Remember what is made, also where that ends in an error."""
        before = {entity for entity, _ in self._all()}
        try:
            yield
        finally:
            self._made.update({entity for entity, _ in self._all()} - before)

    def destroy(self) -> None:
        """Destroy what was made, and give memory back that nothing uses any more."""
        for entity, destroy in self._all():
            if entity not in self._made:
                continue
            destroy(entity)
            # The executor still holds it, and so the models.
            for held in (entity, *getattr(entity, 'event_handlers', ())):
                if isinstance(held, Subscription | Timer | EventHandler):
                    held.callback = lambda *_: None
        self._made.clear()
        gc.collect()
        give_memory_back()

    def _all(self) -> list[tuple[Any, Callable[[Any], bool]]]:
        """Return all there is on the node, each with what destroys it."""
        node = self._node
        return [(entity, destroy) for entities, destroy in (
            (node.subscriptions, node.destroy_subscription), (node.timers, node.destroy_timer),
            (node.services, node.destroy_service), (node.publishers, node.destroy_publisher),
        ) for entity in entities]


class Diagnostics:
    """
    Publishes reports on ``/diagnostics``, once a second, as REP-107 has it.

    :param make_reports: returns them by the name of what they are about.
    """

    def __init__(self, node: Node, make_reports: Callable[[], dict[str, Report]]) -> None:
        self._node, self._make_reports = node, make_reports
        self._name = node.get_fully_qualified_name().strip('/')
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', LEVEL)
        steady_timer(node, _REPORT_PERIOD, self._tell)

    def _tell(self) -> None:
        message = DiagnosticArray(status=[
            DiagnosticStatus(
                name=f'{self._name}: {about}', level=bytes([report.level]), hardware_id=self._name,
                message=report.message,
                values=[KeyValue(key=key, value=value) for key, value in report.values.items()])
            for about, report in self._make_reports().items()])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
