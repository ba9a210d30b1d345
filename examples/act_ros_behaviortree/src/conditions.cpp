// Conditions for BehaviorTree.CPP 4, as a plugin: IsDoing, IsNobody and IsWatching.
//
// The robot's node is taken from the blackboard, where Nav2 up to Kilted puts it, too: key "node",
// an rclcpp::Node::SharedPtr. Conditions of one tree share a subscription, which is served while
// they are ticked; so it does not matter who spins the node, or whether anybody does.

#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "act_ros/msg/action_array.hpp"
#include "behaviortree_cpp/bt_factory.h"
#include "monitor.hpp"
#include "rclcpp/rclcpp.hpp"

namespace act_ros_behaviortree
{

// A subscription to `actions`, and what it tells.
class Watcher
{
public:
  Watcher(rclcpp::Node::SharedPtr node, const std::string & topic)
  : node_(std::move(node)),
    group_(node_->create_callback_group(rclcpp::CallbackGroupType::MutuallyExclusive, false))
  {
    executor_.add_callback_group(group_, node_->get_node_base_interface());
    rclcpp::SubscriptionOptions options;
    options.callback_group = group_;
    // As many as come between two ticks: a label that held in between would else go unheard.
    subscription_ = node_->create_subscription<act_ros::msg::ActionArray>(
      topic, rclcpp::QoS(10),
      [this](const act_ros::msg::ActionArray & message) {monitor_.take(message);}, options);
  }

  // The newest answers; nothing if none is as new as `max_age` seconds, by the node's clock.
  const Monitor * look(double max_age)
  {
    executor_.spin_all(std::chrono::nanoseconds(0));  // spin_some hands out a single message
    return std::abs(monitor_.age(node_->now().seconds())) <= max_age ? &monitor_ : nullptr;
  }

private:
  rclcpp::Node::SharedPtr node_;
  rclcpp::CallbackGroup::SharedPtr group_;
  rclcpp::executors::SingleThreadedExecutor executor_;
  rclcpp::Subscription<act_ros::msg::ActionArray>::SharedPtr subscription_;
  Monitor monitor_;
};

// The watchers in use, by node and topic.
class Watchers
{
public:
  std::shared_ptr<Watcher> at(const rclcpp::Node::SharedPtr & node, const std::string & topic)
  {
    auto & known = watchers_[{node.get(), topic}];
    auto watcher = known.lock();
    if (!watcher) {
      known = watcher = std::make_shared<Watcher>(node, topic);
    }
    return watcher;
  }

private:
  std::map<std::pair<rclcpp::Node *, std::string>, std::weak_ptr<Watcher>> watchers_;
};

// What the conditions have in common: the watcher of their topic.
class Condition : public BT::ConditionNode
{
public:
  Condition(
    const std::string & name, const BT::NodeConfig & config,
    const std::shared_ptr<Watchers> & watchers)
  : BT::ConditionNode(name, config), watchers_(watchers) {}

  static BT::PortsList ports(BT::PortsList others)
  {
    others.insert(BT::InputPort<std::string>("topic", "actions", "where the answers are"));
    others.insert(BT::InputPort<double>(
        "max_age", 1.0, "seconds after which an answer counts no more"));
    return others;
  }

protected:
  const Monitor * look()
  {
    if (!watcher_) {
      watcher_ = watchers_->at(
        config().blackboard->get<rclcpp::Node::SharedPtr>("node"), input<std::string>("topic"));
    }
    return watcher_->look(input<double>("max_age"));
  }

  template<typename T>
  T input(const std::string & key)
  {
    const auto value = getInput<T>(key);
    if (!value) {
      throw BT::RuntimeError(name(), ": ", value.error());
    }
    return value.value();
  }

private:
  std::shared_ptr<Watchers> watchers_;
  std::shared_ptr<Watcher> watcher_;
};

// SUCCESS while anybody (or `person`) is seen doing it, else FAILURE.
class IsDoing : public Condition
{
public:
  using Condition::Condition;

  static BT::PortsList providedPorts()
  {
    return ports({
        BT::InputPort<std::vector<std::string>>("labels", "any of which will do: run;jog"),
        BT::InputPort<std::string>("person", "", "only this person's id; empty: anybody"),
        BT::InputPort<double>("confidence", 0.0, "least confidence, 0 to 1"),
        BT::InputPort<double>("seconds", 0.0, "for how long it must have held"),
        BT::InputPort<double>(
          "within", std::numeric_limits<double>::infinity(), "metres from the camera"),
        BT::OutputPort<std::string>("who", "the id of the first who does"),
        BT::OutputPort<std::vector<std::string>>("all", "the ids of all who do")});
  }

  BT::NodeStatus tick() override
  {
    const Question question{
      input<std::vector<std::string>>("labels"), input<std::string>("person"),
      input<double>("confidence"), input<double>("seconds"), input<double>("within")};
    const Monitor * monitor = look();
    const auto persons = monitor ? monitor->doing(question) : std::vector<std::string>{};
    setOutput("all", persons);
    if (persons.empty()) {
      return BT::NodeStatus::FAILURE;
    }
    setOutput("who", persons.front());
    return BT::NodeStatus::SUCCESS;
  }
};

// SUCCESS once nobody has been in view for some time; FAILURE, too, while no answers come.
class IsNobody : public Condition
{
public:
  using Condition::Condition;

  static BT::PortsList providedPorts()
  {
    return ports({BT::InputPort<double>("seconds", 0.0, "for how long")});
  }

  BT::NodeStatus tick() override
  {
    const Monitor * monitor = look();
    return monitor && monitor->nobody(input<double>("seconds")) ?
           BT::NodeStatus::SUCCESS : BT::NodeStatus::FAILURE;
  }
};

// SUCCESS while answers come: it tells "nobody runs" from "nobody looks".
class IsWatching : public Condition
{
public:
  using Condition::Condition;

  static BT::PortsList providedPorts() {return ports({});}

  BT::NodeStatus tick() override
  {
    return look() ? BT::NodeStatus::SUCCESS : BT::NodeStatus::FAILURE;
  }
};

}  // namespace act_ros_behaviortree

BT_REGISTER_NODES(factory)
{
  using namespace act_ros_behaviortree;  // NOLINT
  const auto watchers = std::make_shared<Watchers>();
  factory.registerNodeType<IsDoing>("IsDoing", watchers);
  factory.registerNodeType<IsNobody>("IsNobody", watchers);
  factory.registerNodeType<IsWatching>("IsWatching", watchers);
}
