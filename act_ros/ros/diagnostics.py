"""Health on ``/diagnostics`` once a second, as REP-107 has it."""

from __future__ import annotations

from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from act_ros.ros.health import Report
from act_ros.ros.topics import LEVEL, steady_timer

_PERIOD = 1.0  # seconds


class Diagnostics:
    """Publishes reports; ``make_reports`` returns them by the name of what they are about."""

    def __init__(self, node: Node, make_reports: Callable[[], dict[str, Report]]) -> None:
        self._node, self._make_reports = node, make_reports
        self._name = node.get_fully_qualified_name().strip('/')
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', LEVEL)
        steady_timer(node, _PERIOD, self._tell)

    def _tell(self) -> None:
        message = DiagnosticArray(status=[
            DiagnosticStatus(
                name=f'{self._name}: {about}', level=bytes([report.level]), hardware_id=self._name,
                message=report.message,
                values=[KeyValue(key=key, value=value) for key, value in report.values.items()])
            for about, report in self._make_reports().items()])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
