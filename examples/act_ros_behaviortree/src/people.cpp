// A tree with the conditions: ros2 run act_ros_behaviortree people <plugin> <tree.xml>
// It logs what a robot would do, once each time that it begins.

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <thread>

#include "behaviortree_cpp/bt_factory.h"
#include "rclcpp/rclcpp.hpp"

// Stands for an action of the robot: RUNNING until the condition before it fails.
class Say : public BT::StatefulActionNode
{
public:
  using BT::StatefulActionNode::StatefulActionNode;

  static BT::PortsList providedPorts()
  {
    return {BT::InputPort<std::string>("what"), BT::InputPort<std::string>("who", "", "an id")};
  }

  BT::NodeStatus onStart() override
  {
    RCLCPP_INFO(
      rclcpp::get_logger("people"), "%s %s", getInput<std::string>("what").value().c_str(),
      getInput<std::string>("who").value().c_str());
    return BT::NodeStatus::RUNNING;
  }

  BT::NodeStatus onRunning() override {return BT::NodeStatus::RUNNING;}

  void onHalted() override {}
};

int main(int argc, char ** argv)
{
  const auto arguments = rclcpp::init_and_remove_ros_arguments(argc, argv);
  if (arguments.size() != 3) {
    RCLCPP_FATAL(rclcpp::get_logger("people"), "usage: people <plugin> <tree.xml>");
    return 2;
  }
  try {
    BT::BehaviorTreeFactory factory;
    factory.registerNodeType<Say>("Say");
    factory.registerFromPlugin(arguments[1]);
    const auto blackboard = BT::Blackboard::create();
    blackboard->set("node", std::make_shared<rclcpp::Node>("people"));
    auto tree = factory.createTreeFromFile(arguments[2], blackboard);
    while (rclcpp::ok()) {
      tree.tickOnce();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    tree.haltTree();
  } catch (const std::exception & error) {
    RCLCPP_FATAL(rclcpp::get_logger("people"), "%s", error.what());
    return 1;
  }
  rclcpp::shutdown();
  return 0;
}
