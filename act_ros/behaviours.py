"""Conditions for behaviour trees on what people do: the public name of `act_ros.ros.behaviours`."""

from act_ros.ros.behaviours import ActionMonitor, IsDoing, IsNobody, IsWatching

__all__ = ['ActionMonitor', 'IsDoing', 'IsNobody', 'IsWatching']
