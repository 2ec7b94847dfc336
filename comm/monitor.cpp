// SPDX-License-Identifier: Apache-2.0
#include "comm/monitor.h"

#include <algorithm>

#include "comm/trace.h"
#include "core/error.h"

namespace finescale {

namespace {

std::string source_of(const Where& where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line);
}

double seconds_between(std::chrono::steady_clock::time_point begin,
                       std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

CallReport report_of(const Call& call, std::string group) {
  CallReport report;
  report.operation = call.operation;
  report.group = std::move(group);
  report.sequence = call.sequence;
  report.peer = call.peer;
  report.tag = call.tag;
  report.source = source_of(call.where);
  report.receives = call.kind == CallKind::kReceive;
  return report;
}

GroupReport report_of(const GroupRecord& group) {
  GroupReport report;
  report.id = group.id;
  report.members = group.members;
  report.num_entered = group.num_begun[static_cast<std::size_t>(CallKind::kCollective)];
  const std::uint64_t recent = std::min<std::uint64_t>(report.num_entered, GroupRecord::kNumRecent);
  for (std::uint64_t i = report.num_entered - recent + 1; i <= report.num_entered; ++i) {
    const EnteredCollective& entered = group.recent[i % GroupRecord::kNumRecent];
    report.operations.emplace_back(entered.operation);
    report.sources.push_back(source_of(entered.where));
  }
  return report;
}

}  // namespace

void CommMonitor::add(GroupRecord& group) {
  const std::scoped_lock lock(mutex_);
  groups_.push_back(&group);
}

void CommMonitor::remove(GroupRecord& group) noexcept {
  const std::scoped_lock lock(mutex_);
  groups_.erase(std::remove(groups_.begin(), groups_.end(), &group), groups_.end());
}

void CommMonitor::enter(Call& call) {
  const std::scoped_lock lock(mutex_);
  GroupRecord& group = *call.group;
  if (call.kind == CallKind::kCollective) {
    FS_CHECK(!group.in_collective, std::string(call.operation) + " at " + source_of(call.where) +
                                       ": another thread is in a collective of group " +
                                       group.name);
    group.in_collective = true;
  }
  call.sequence = ++group.num_begun[static_cast<std::size_t>(call.kind)];
  if (call.kind == CallKind::kCollective) {
    group.recent[call.sequence % GroupRecord::kNumRecent] = {call.operation, call.where};
  }
  group.bytes_sent.fetch_add(call.bytes, std::memory_order_relaxed);
  call.next = newest_;
  if (newest_ != nullptr) {
    newest_->previous = &call;
  }
  newest_ = &call;
  call.begin = std::chrono::steady_clock::now();
}

void CommMonitor::leave(Call& call) noexcept {
  const auto end = std::chrono::steady_clock::now();
  if (Trace* const sink = trace(); sink != nullptr) {
    sink->add_call(call, end);
  }
  const std::scoped_lock lock(mutex_);
  (call.previous == nullptr ? newest_ : call.previous->next) = call.next;
  if (call.next != nullptr) {
    call.next->previous = call.previous;
  }
  if (call.kind == CallKind::kCollective) {
    call.group->in_collective = false;
  }
  last_ = call;
  last_end_ = end;
  const std::string& name = call.group->name;
  last_group_[name.copy(last_group_.data(), last_group_.size() - 1)] = '\0';
}

RankReport CommMonitor::report() const {
  const std::scoped_lock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  RankReport report;
  for (const Call* call = newest_; call != nullptr; call = call->next) {
    CallReport& one = report.calls.emplace_back(report_of(*call, call->group->name));
    one.group_id = call->group->id;
    one.seconds = seconds_between(call->begin, now);
  }
  if (last_.group != nullptr) {  // only its address: the group may be gone
    report.last = report_of(last_, last_group_.data());
    report.last.seconds = seconds_between(last_end_, now);
  }
  for (const GroupRecord* group : groups_) {
    report.groups.push_back(report_of(*group));
  }
  return report;
}

std::map<std::string, std::uint64_t> CommMonitor::bytes_sent() const {
  const std::scoped_lock lock(mutex_);
  std::map<std::string, std::uint64_t> sent;
  for (const GroupRecord* group : groups_) {
    sent[group->name] += group->bytes_sent.load(std::memory_order_relaxed);
  }
  return sent;
}

double CommMonitor::longest_wait_s() const {
  const std::scoped_lock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  double longest = 0;
  for (const Call* call = newest_; call != nullptr; call = call->next) {
    longest = std::max(longest, seconds_between(call->begin, now));
  }
  return longest;
}

}  // namespace finescale
