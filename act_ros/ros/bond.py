"""A bond, by which Nav2's lifecycle manager notices that a node has died."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from uuid import uuid4

from rclpy.node import Node
from rclpy.qos import QoSProfile

from act_ros.ros.topics import steady_timer

_PERIOD, _TIMEOUT = 0.1, 4.0  # seconds; as Nav2's own servers have them


class Bond:
    """
    Beats on ``bond`` while the node is active and somebody listens, where ROS's bond is installed.

    The id is the node's name, as the manager expects it. The node does not mind whether the manager
    is alive: people are watched without it, too.
    """

    def __init__(self, node: Node) -> None:
        self._is_active = False
        self._status: Any = None
        try:
            status = import_module('bond.msg').Status
        except ImportError:
            return
        self._status = status(
            id=node.get_name(), heartbeat_period=_PERIOD, heartbeat_timeout=_TIMEOUT)
        self._node = node
        self._publisher = node.create_publisher(status, 'bond', QoSProfile(depth=5))
        steady_timer(node, _PERIOD, self._beat)

    def set_active(self, is_active: bool) -> None:
        """Begin to beat, or tell that it ends, which is no failure."""
        if self._status is None or self._is_active == is_active:
            return
        self._is_active = is_active
        if is_active:  # each time another bond
            self._status.instance_id = str(uuid4())
        self._publish()

    def _beat(self) -> None:
        if self._is_active:
            self._publish()

    def _publish(self) -> None:
        # What ends a node may have ended ROS first, as a video does: then nobody can be told.
        if self._node.context.ok() and self._publisher.get_subscription_count():
            self._status.header.stamp = self._node.get_clock().now().to_msg()
            self._status.active = self._is_active
            self._publisher.publish(self._status)
