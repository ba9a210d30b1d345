"""
Recorded bags and labels to metrics, a report and annotated videos, without ROS.

    python -m act_ros.evaluation bag --labels bag.csv --output evaluation

The answers are those of the live nodes: the same `ActionRecognizer`, and the messages' stamps as
the clock. `run.evaluate` does the same from Python.
"""
