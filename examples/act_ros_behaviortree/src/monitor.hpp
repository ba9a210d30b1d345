// Who does what, by the newest message on `actions`: what ActionMonitor is in Python.
// Knows messages only; no node and no clock.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "act_ros/msg/action_array.hpp"

namespace act_ros_behaviortree
{

// Who is asked for; but for `labels`, a default excludes nobody.
struct Question
{
  std::vector<std::string> labels;  // any of which will do
  std::string person;               // only this person's id; empty: anybody
  double confidence = 0.0;          // least confidence of the answer, 0 to 1
  double seconds = 0.0;             // for how long one or other of the labels must have held
  // metres from the camera; who is farther, or nobody knows where, does not count
  double within = std::numeric_limits<double>::infinity();
};

class Monitor
{
public:
  // Take the next message; what matters of it is copied.
  void take(const act_ros::msg::ActionArray & message)
  {
    const double stamp = seconds_of(message.header.stamp);
    if (!(stamp >= stamp_ && stamp - stamp_ <= kBreak)) {
      since_ = stamp;  // nobody knows who was there, and did what, meanwhile
      seen_ = -std::numeric_limits<double>::infinity();
      held_.clear();
    }
    std::map<std::string, Held> held;
    for (const auto & action : message.actions) {
      if (action.status == act_ros::msg::Action::RECOGNIZED) {
        const auto before = held_.find(action.person_id);
        held[action.person_id] = extended(
          before == held_.end() ? Held{} : std::move(before->second),
          action.label, stamp - action.duration);
      }
      if (action.status != act_ros::msg::Action::LOST) {
        seen_ = stamp;
      }
    }
    held_ = std::move(held);
    newest_ = message;
    stamp_ = stamp;
  }

  // Seconds from the stamp of the newest message to `now`; infinite before the first message.
  double age(double now) const {return now - stamp_;}

  // Whether nobody has been in view for so many seconds, with messages all the while.
  bool nobody(double seconds) const
  {
    return seen_ < stamp_ && stamp_ - std::max(seen_, since_) >= seconds - kSlack;
  }

  // The ids of those who are seen doing it, in the order of the message.
  std::vector<std::string> doing(const Question & question) const
  {
    std::vector<std::string> persons;
    for (const auto & action : newest_.actions) {
      const bool fits = action.status == act_ros::msg::Action::RECOGNIZED &&
        contains(question.labels, action.label) &&
        (question.person.empty() || question.person == action.person_id) &&
        action.confidence >= question.confidence &&
        (std::isinf(question.within) || (action.place >= act_ros::msg::Action::ESTIMATED &&
        action.distance <= question.within));
      if (fits && action.duration + earlier(action.person_id, question.labels) >=
        question.seconds)
      {
        persons.push_back(action.person_id);
      }
    }
    return persons;
  }

  template<typename Time>
  static double seconds_of(const Time & stamp)
  {
    return static_cast<double>(stamp.sec) + 1e-9 * static_cast<double>(stamp.nanosec);
  }

private:
  // Labels that a person has held without a break, with their beginning in seconds.
  using Held = std::vector<std::pair<std::string, double>>;

  static constexpr std::size_t kLongest = 32;  // labels of a person that are remembered
  static constexpr double kBreak = 1.0;  // seconds without messages: nobody was watching
  static constexpr double kSlack = 0.01;  // seconds by which times of one event differ, by rounding

  static Held extended(Held held, const std::string & label, double start)
  {
    if (!held.empty()) {
      const auto & [last, since] = held.back();
      if (last == label && std::abs(since - start) < kSlack) {
        return held;
      }
      if (last == label || start < since) {
        held.clear();  // a break that no message told of, or time has jumped back
      }
    }
    if (held.size() == kLongest) {
      held.erase(held.begin());
    }
    held.emplace_back(label, start);
    return held;
  }

  // For how many seconds wanted labels had held when the present one began.
  double earlier(const std::string & person, const std::vector<std::string> & labels) const
  {
    const Held & held = held_.at(person);
    double since = held.back().second;
    for (auto item = held.rbegin(); item != held.rend() && contains(labels, item->first); ++item) {
      since = item->second;
    }
    return held.back().second - since;
  }

  static bool contains(const std::vector<std::string> & labels, const std::string & label)
  {
    return std::find(labels.begin(), labels.end(), label) != labels.end();
  }

  act_ros::msg::ActionArray newest_;
  std::map<std::string, Held> held_;  // by person
  double stamp_ = -std::numeric_limits<double>::infinity();
  double since_ = 0.0;  // when messages began to come without a break
  double seen_ = 0.0;  // when somebody was in view last
};

}  // namespace act_ros_behaviortree
