// The conditions in a tree, loaded as a plugin: test_conditions <plugin>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "act_ros/msg/action_array.hpp"
#include "behaviortree_cpp/bt_factory.h"
#include "rclcpp/rclcpp.hpp"

using act_ros::msg::Action;
using act_ros::msg::ActionArray;
using BT::NodeStatus;
using namespace std::chrono_literals;  // NOLINT

#define CHECK(condition) \
  if (!(condition)) { \
    std::printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
    std::exit(1); \
  }

constexpr auto kTrees = R"(
<root BTCPP_format="4">
  <BehaviorTree ID="Doing">
    <IsDoing labels="wave1;wave2" seconds="0.5" who="{who}" all="{all}"
      topic="test_actions" max_age="5"/>
  </BehaviorTree>
  <BehaviorTree ID="Nobody">
    <IsNobody seconds="0.2" topic="test_actions" max_age="5"/>
  </BehaviorTree>
  <BehaviorTree ID="Watching">
    <IsWatching topic="test_actions" max_age="5"/>
  </BehaviorTree>
</root>)";

Action action(const std::string & person, const std::string & label, float duration)
{
  Action result;
  result.person_id = person;
  result.label = label;
  result.duration = duration;
  result.status = Action::RECOGNIZED;
  return result;
}

int main(int argc, char ** argv)
{
  const auto arguments = rclcpp::init_and_remove_ros_arguments(argc, argv);
  CHECK(arguments.size() == 2);
  const auto robot = std::make_shared<rclcpp::Node>("robot");
  const auto peer = std::make_shared<rclcpp::Node>("peer");
  const auto publisher = peer->create_publisher<ActionArray>("test_actions", 10);

  BT::BehaviorTreeFactory factory;
  factory.registerFromPlugin(arguments[1]);
  factory.registerBehaviorTreeFromText(kTrees);
  const auto blackboard = BT::Blackboard::create();
  blackboard->set("node", robot);
  auto doing = factory.createTree("Doing", blackboard);
  auto nobody = factory.createTree("Nobody", blackboard);
  auto watching = factory.createTree("Watching", blackboard);

  const auto start = robot->now();
  const auto tell = [&](double seconds, const std::vector<Action> & actions) {
      ActionArray message;
      message.header.stamp = start + rclcpp::Duration::from_seconds(seconds);
      message.actions = actions;
      publisher->publish(message);
      CHECK(publisher->wait_for_all_acked(10s));
    };

  // Before anything was heard.
  for (auto tree : {&doing, &nobody, &watching}) {
    CHECK(tree->tickOnce() == NodeStatus::FAILURE);
  }
  while (publisher->get_subscription_count() == 0) {
    std::this_thread::sleep_for(10ms);
  }
  CHECK(publisher->get_subscription_count() == 1);  // of all conditions

  // Who waves, and for long enough.
  tell(0.0, {action("p1", "run", 1.0f), action("p2", "wave1", 0.6f), action("p3", "wave2", 0.9f)});
  CHECK(doing.tickOnce() == NodeStatus::SUCCESS);
  CHECK(blackboard->get<std::string>("who") == "p2");
  CHECK((blackboard->get<std::vector<std::string>>("all") == std::vector<std::string>{"p2", "p3"}));
  CHECK(nobody.tickOnce() == NodeStatus::FAILURE);
  CHECK(watching.tickOnce() == NodeStatus::SUCCESS);
  tell(0.1, {action("p2", "wave1", 0.4f)});
  CHECK(doing.tickOnce() == NodeStatus::FAILURE);
  CHECK(blackboard->get<std::vector<std::string>>("all").empty());

  // A camera that is faster than the tree: the newest counts, and those before it are heard.
  tell(0.2, {});
  tell(0.3, {});
  tell(0.4, {});
  CHECK(nobody.tickOnce() == NodeStatus::SUCCESS);
  tell(0.5, {});
  tell(0.6, {action("p1", "wave1", 1.0f)});
  CHECK(doing.tickOnce() == NodeStatus::SUCCESS);
  CHECK(nobody.tickOnce() == NodeStatus::FAILURE);

  // Answers of another time.
  tell(-6.0, {action("p1", "wave1", 1.0f)});
  CHECK(doing.tickOnce() == NodeStatus::FAILURE);
  CHECK(nobody.tickOnce() == NodeStatus::FAILURE);
  CHECK(watching.tickOnce() == NodeStatus::FAILURE);

  rclcpp::shutdown();
  std::puts("ok");
  return 0;
}
