// SPDX-License-Identifier: Apache-2.0
#include "coordinator/plan_schedule.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <set>
#include <utility>

namespace finescale {

namespace {

class ListSchedule {
 public:
  ListSchedule(const std::vector<PlannedJob>& jobs, int gangs)
      : jobs_(jobs), free_gangs_(std::max(1, gangs)), waits_for_(jobs.size()), then_(jobs.size()) {
    for (std::size_t job = 0; job < jobs.size(); ++job) {
      waits_for_[job] = jobs[job].after.size();
      for (const std::size_t input : jobs[job].after) {
        then_[input].push_back(job);
      }
    }
  }

  double run() {
    for (std::size_t job = 0; job < jobs_.size(); ++job) {
      if (waits_for_[job] == 0) {
        ready(job);
      }
    }
    start_jobs();
    while (!running_.empty()) {
      const auto [end, job] = running_.top();
      running_.pop();
      now_ = end;
      ++free_gangs_;
      done(job);
      start_jobs();
    }
    return now_;
  }

 private:
  void ready(std::size_t job) {
    if (jobs_[job].seconds <= 0) {
      done(job);
    } else {
      ready_.insert(job);
    }
  }

  void done(std::size_t job) {
    for (const std::size_t next : then_[job]) {
      if (--waits_for_[next] == 0) {
        ready(next);
      }
    }
  }

  void start_jobs() {
    const bool alone = running_.empty() && ready_.size() == 1;
    while (free_gangs_ > 0 && !ready_.empty()) {
      const std::size_t job = *ready_.begin();
      ready_.erase(ready_.begin());
      running_.emplace(now_ + (alone ? jobs_[job].seconds_alone.value_or(jobs_[job].seconds)
                                     : jobs_[job].seconds),
                       job);
      --free_gangs_;
    }
  }

  using Running = std::pair<double, std::size_t>;  // end, job
  const std::vector<PlannedJob>& jobs_;
  int free_gangs_;
  std::vector<std::size_t> waits_for_;
  std::vector<std::vector<std::size_t>> then_;
  std::set<std::size_t> ready_;
  std::priority_queue<Running, std::vector<Running>, std::greater<>> running_;
  double now_ = 0;
};

}  // namespace

double schedule_makespan(const std::vector<PlannedJob>& jobs, int gangs) {
  return ListSchedule(jobs, gangs).run();
}

}  // namespace finescale
