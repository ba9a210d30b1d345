"""The demo from the command line: ``python -m act_ros.demo``."""

from __future__ import annotations

from act_ros.ros.signals import watch

if __name__ == '__main__':
    watch()  # before the imports, which take their time
    from act_ros.demo.video_demo import main

    main()
