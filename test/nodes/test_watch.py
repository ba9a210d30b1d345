"""watch beside publishers of actions: a table of whatever there is."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import Point
from ros_harness import bench

from act_ros.msg import Action, ActionArray


def test_a_table_of_every_system(tmp_path: Path) -> None:
    """Topics are found as they come and go; what others call themselves is made printable."""
    with bench(tmp_path) as made:
        peer, node = made.peer, made.start('watch')
        peer.wait(lambda: 'nobody publishes' in node.log, 'a first look')
        front = peer.node.create_publisher(ActionArray, '/front/actions', 10)
        back = peer.node.create_publisher(ActionArray, '/back/actions', 10)
        walker = Action(
            person_id='p1', status=Action.RECOGNIZED, label='walk', confidence=0.93, duration=4.25,
            place=Action.MEASURED, position=Point(x=1.0, y=0.0, z=2.0), bearing=0.25,
            distance=2.24, distance_error=0.02)
        odd = Action(person_id='\x1b[2J', status=Action.UNKNOWN, confidence=0.31)
        answer = ActionArray(model='tiny', actions=[walker, odd])
        answer.header.frame_id = 'eye\n'

        def publish() -> None:
            answer.header.stamp = peer.node.get_clock().now().to_msg()
            front.publish(answer)

        peer.insist(publish, lambda: 'walk' in node.log, 'a table')
        assert '/back/actions: no answer yet' in node.log
        row = next(line for line in node.log.splitlines() if line.startswith('p1'))
        assert row.split() == ['p1', 'walk', 'RECOGNIZED', '93%', '4.2', 's', '2.2', 'm', '14°',
                               'right']
        assert '\\x1b' in node.log and '\x1b[2J' not in node.log
        head = next(line for line in node.log.splitlines() if 'a second' in line)
        assert head.startswith('/front/actions: ') and 's after the image, model tiny' in head
        peer.node.destroy_publisher(front)
        seen = len(node.log)
        peer.wait(lambda: '/back/actions' in node.log[seen:] and '/front' not in
                  node.log[seen:].rpartition('/back/actions')[2], 'a table without it')
        assert node.stop(signal.SIGINT) == 0 and 'Traceback' not in node.log
        peer.node.destroy_publisher(back)
