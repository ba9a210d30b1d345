"""ROS shells around the core: parameters, message conversion, publishing. No maths here."""
