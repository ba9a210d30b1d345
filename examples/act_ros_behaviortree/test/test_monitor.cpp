// The answers of Monitor to messages as they come from act_node.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "monitor.hpp"

using act_ros::msg::Action;
using act_ros_behaviortree::Monitor;
using act_ros_behaviortree::Question;

#define CHECK(condition) \
  if (!(condition)) { \
    std::printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
    std::exit(1); \
  }

using Persons = std::vector<std::string>;

// A person's answer: label, seconds it has held, confidence, status.
Action action(
  const std::string & person, const std::string & label, double duration,
  double confidence = 0.9, int status = Action::RECOGNIZED)
{
  Action result;
  result.person_id = person;
  result.label = label;
  result.duration = static_cast<float>(duration);
  result.confidence = static_cast<float>(confidence);
  result.status = static_cast<std::uint8_t>(status);
  return result;
}

void tell(Monitor & monitor, double stamp, const std::vector<Action> & actions)
{
  act_ros::msg::ActionArray message;
  message.header.stamp.sec = static_cast<std::int32_t>(std::floor(stamp));
  message.header.stamp.nanosec = static_cast<std::uint32_t>(
    std::lround((stamp - std::floor(stamp)) * 1e9));
  message.actions.assign(actions.begin(), actions.end());
  monitor.take(message);
}

Question question(
  const std::vector<std::string> & labels, double seconds = 0.0, double confidence = 0.0,
  const std::string & person = "")
{
  Question result;
  result.labels = labels;
  result.person = person;
  result.confidence = confidence;
  result.seconds = seconds;
  return result;
}

int main()
{
  Monitor monitor;
  CHECK(std::isinf(monitor.age(5.0)));
  CHECK(monitor.doing(question({"walk"})).empty());

  tell(monitor, 10.25, {
      action("p1", "walk", 2.0), action("p2", "wave1", 1.0, 0.6),
      action("p3", "walk", 1.0, 0.9, Action::LOST)});
  CHECK(std::abs(monitor.age(11.0) - 0.75) < 1e-6);
  CHECK(monitor.doing(question({"walk"})) == Persons{"p1"});  // one who is lost does nothing
  CHECK((monitor.doing(question({"walk", "wave1"})) == Persons{"p1", "p2"}));
  CHECK(monitor.doing(question({"walk", "wave1"}, 0, 0.7)) == Persons{"p1"});
  CHECK(monitor.doing(question({"walk"}, 0, 0, "p2")).empty());
  CHECK(monitor.doing(question({"walk"}, 1.9)) == Persons{"p1"});
  CHECK(monitor.doing(question({"walk"}, 2.1)).empty());
  CHECK(monitor.doing(question({})).empty());

  // One hand, then the other: together they hold on; a label that is not asked for breaks it.
  tell(monitor, 11.25, {action("p2", "wave2", 0.5)});
  CHECK(monitor.doing(question({"wave1", "wave2"}, 1.9)) == Persons{"p2"});
  CHECK(monitor.doing(question({"wave2"}, 0.6)).empty());
  tell(monitor, 12.25, {action("p2", "walk", 0.5)});
  tell(monitor, 13.25, {action("p2", "wave1", 0.5)});
  CHECK(monitor.doing(question({"wave1", "wave2"}, 0.6)).empty());
  CHECK(monitor.doing(question({"wave1"}, 0.4)) == Persons{"p2"});

  // Nothing recognized in between is a break, and so is a jump back in time.
  tell(monitor, 14.0, {action("p2", "", 0.1, 0.2, Action::UNKNOWN)});
  tell(monitor, 15.0, {action("p2", "wave2", 0.5)});
  CHECK(monitor.doing(question({"wave1", "wave2"}, 0.6)).empty());
  tell(monitor, 3.0, {action("p2", "wave1", 0.2)});
  CHECK(monitor.doing(question({"wave1", "wave2"}, 0.3)).empty());

  // Nobody in view, and for how long: a break begins anew, and who is lost is not in view.
  tell(monitor, 16.0, {});
  CHECK(monitor.doing(question({"wave1"})).empty());
  CHECK(monitor.nobody(0.0) && !monitor.nobody(0.1));
  tell(monitor, 16.5, {action("p3", "walk", 1.0, 0.9, Action::LOST)});
  CHECK(monitor.nobody(0.5) && !monitor.nobody(0.6));
  tell(monitor, 17.0, {action("p3", "walk", 1.0)});
  CHECK(!monitor.nobody(0.0));
  tell(monitor, 17.5, {});
  CHECK(monitor.nobody(0.5) && !monitor.nobody(0.6));
  tell(monitor, 19.0, {});
  CHECK(monitor.nobody(0.0) && !monitor.nobody(0.1));

  // Near, far, and nobody knows where.
  auto near = action("p1", "run", 1.0), far = action("p2", "run", 1.0);
  near.place = far.place = Action::ESTIMATED;
  near.distance = 1.5f;
  far.distance = 4.0f;
  tell(monitor, 20.0, {near, far, action("p3", "run", 1.0)});
  auto asked = question({"run"});
  CHECK((monitor.doing(asked) == Persons{"p1", "p2", "p3"}));
  asked.within = 2.0;
  CHECK(monitor.doing(asked) == Persons{"p1"});
  std::puts("ok");
  return 0;
}
