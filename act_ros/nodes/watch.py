"""
watch: a live table in the terminal, of any running system: who does what, where, and how sure.

Subscribes every topic of act_ros/ActionArray in its domain, as they come and go, and publishes
nothing. Ctrl-C ends it.
"""

from __future__ import annotations

import time

from rclpy.clock import Clock
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from act_ros.core.action import Action
from act_ros.core.messages import frame_of_actions
from act_ros.core.stamps import NANOSECONDS
from act_ros.core.text import printable
from act_ros.msg import ActionArray
from act_ros.pictures.terminal import Screen, table
from act_ros.ros.health import Recent
from act_ros.ros.run import run
from act_ros.ros.topics import steady_timer

_TYPE = 'act_ros/msg/ActionArray'
_REDRAW = 0.2  # seconds between two tables in a terminal
_RELOG = 2.0  # and in a log
_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)  # slows no publisher down


class Source:
    """What is known of a topic, by the clock of the node."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.begin = clock, time.monotonic()
        self.actions: list[Action] = []
        self.model, self.frame_id, self.age = '', '', 0.0
        self.times = Recent()

    def take(self, message: ActionArray) -> None:
        """Take a message that has come."""
        frame = frame_of_actions(message)
        self.actions = list(frame.actions or ())
        self.model, self.frame_id = message.model, frame.frame_id
        self.age = (self._clock.now().nanoseconds - frame.stamp) / NANOSECONDS
        self.times.add(time.monotonic(), 0.0)

    def heading(self, topic: str) -> str:
        """Return the line above the table."""
        now = time.monotonic()
        rate, silence = self.times.rate(now, self.begin), now - self.times.last
        if silence > 2.0:
            state = 'no answer yet' if silence > now else f'silent for {silence:.0f} s'
        else:
            state = f'{rate:.1f} answers a second, {self.age:.2f} s after the image'
        about = f', model {self.model}, frame {self.frame_id}' if self.model else ''
        return printable(f'{topic}: {state}{about}')


class Watch(Node):
    """Shows the answers of everybody who gives any."""

    def __init__(self) -> None:
        super().__init__('watch')
        self._screen = Screen()
        self._sources: dict[str, tuple[Subscription, Source]] = {}
        steady_timer(self, 1.0, self._discover)
        steady_timer(self, _REDRAW if self._screen.is_terminal else _RELOG, self._draw)

    def _discover(self) -> None:
        """Subscribe to topics that have a publisher, and to no others any more."""
        topics = {topic for topic, types in self.get_topic_names_and_types()
                  if _TYPE in types and self.count_publishers(topic)}
        for topic in topics - self._sources.keys():
            source = Source(self.get_clock())
            self._sources[topic] = (self.create_subscription(
                ActionArray, topic, source.take, _QOS), source)
        for topic in self._sources.keys() - topics:
            self.destroy_subscription(self._sources.pop(topic)[0])

    def _draw(self) -> None:
        width, height = self._screen.size
        lines = [] if self._sources else [
            'nobody publishes act_ros/ActionArray here', 'is act_node running, and ROS_DOMAIN_ID '
            'the same?']
        for number, (topic, (_, source)) in enumerate(sorted(self._sources.items())):
            room = (height - len(lines)) // (len(self._sources) - number)
            lines += [source.heading(topic),
                      *table(source.actions, width, max(room - 1, 1)).splitlines()]
        self._screen.show('\n'.join(
            line if len(line) <= width else line[:width - 1] + '…' for line in lines[:height]))


NODE = Watch

if __name__ == '__main__':
    run(NODE, __doc__)
