"""Fast DDS with room for raw images in its shared memory, where nobody has set it up already."""

from __future__ import annotations

from collections.abc import Mapping

from act_ros.core.resources import find_resource

# Jazzy and before, Kilted and later.
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
# The usual remedy in containers, which a profile with transports of its own would defeat.
_TRANSPORTS = 'FASTDDS_BUILTIN_TRANSPORTS'


def image_transport_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables to add to an environment, so that processes exchange raw images.

    Empty where it holds a profile or transports already.
    """
    if any(environment.get(name) for name in (*PROFILE_VARIABLES, _TRANSPORTS)):
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(find_resource('config/fastdds.xml')))
