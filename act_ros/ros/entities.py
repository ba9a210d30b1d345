"""The topics, timers and services that a managed node has while it is configured."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.event_handler import EventHandler
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from act_ros.core.memory import give_memory_back


class Gate(MutuallyExclusiveCallbackGroup):
    """Subscriptions whose messages are not even taken from the middleware while it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False

    def can_execute(self, entity: Any) -> bool:
        """Tell the executor whether to look for messages."""
        return self.is_open and bool(super().can_execute(entity))

    def forget_messages(self, node: Node) -> None:
        """Take what waits in the queues of the node's subscriptions here."""
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
        self._made: list[tuple[Any, Callable[[Any], bool]]] = []

    @contextmanager
    def record(self) -> Iterator[None]:
        """Remember what is made, also where that ends in an error."""
        before = {id(entity) for entity, _ in self._all()}
        try:
            yield
        finally:
            self._made += [made for made in self._all() if id(made[0]) not in before]

    def destroy(self) -> None:
        """Destroy what was made, and give memory back that nothing uses any more."""
        for entity, destroy in self._made:
            destroy(entity)
            # The executor still holds it, and so the models.
            for held in (entity, *getattr(entity, 'event_handlers', ())):
                if isinstance(held, Subscription | Timer | EventHandler):
                    held.callback = lambda *_: None
        self._made = []
        gc.collect()
        give_memory_back()

    def _all(self) -> list[tuple[Any, Callable[[Any], bool]]]:
        """Return all there is on the node, each with what destroys it."""
        node = self._node
        return [(entity, destroy) for entities, destroy in (
            (node.subscriptions, node.destroy_subscription), (node.timers, node.destroy_timer),
            (node.services, node.destroy_service), (node.publishers, node.destroy_publisher),
        ) for entity in entities]
