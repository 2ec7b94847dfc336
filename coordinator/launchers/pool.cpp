// SPDX-License-Identifier: Apache-2.0
// pool: each gang is a job of its own, a pilot. The coordinator may run anywhere that sees Slurm
// and the campaign directory. A thread talks with Slurm, which may take minutes to answer; the
// campaign never waits for it.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <thread>
#include <utility>

#include "coordinator/launchers/gang_process.h"
#include "coordinator/launchers/pilot_script.h"
#include "coordinator/launchers/pilot_table.h"
#include "coordinator/launchers/submission.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"

namespace finescale {

namespace {

constexpr double kSlurmSeconds = 30;     // of one call of Slurm's programs
constexpr double kFarewellSeconds = 15;  // to have jobs cancelled when the campaign ends
constexpr double kMaxPauseFactor = 6;    // times `poll`, while Slurm does not answer

SlurmPatience patience() {
  SlurmPatience patience;
  patience.call_s = kSlurmSeconds;
  return patience;
}

class Pool final : public Launcher {
 public:
  Pool(const config::Sweep& sweep, const std::string& campaign, Logger& logger)
      : sweep_(sweep),
        pool_(sweep.resources().launcher().pool()),
        campaign_(campaign),
        logger_(logger),
        working_directory_(std::filesystem::current_path().string()),
        slurm_(patience(), [](const std::string&) {}),
        table_(job_prefix(campaign, sweep.name()) + "pilot-", patience_of(pool_)) {
    for (const char* program : {"sbatch", "squeue", "scancel"}) {
      if (find_program(program).empty()) {
        throw Error(ErrorKind::kResource, std::string(program) + " is not on PATH",
                    "resources.launcher.pool",
                    "run where Slurm's programs are, or leave the launcher out: mpirun");
      }
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { talk_with_slurm(stop); });
  }
  ~Pool() override {
    thread_.request_stop();
    changed_.notify_all();
    if (thread_.joinable()) {
      thread_.join();
    }
    say_news();
    for (const std::string& name : table_.to_cancel()) {
      logger_.warn("Slurm did not say that job {} has ended: scancel --jobname={}", name, name);
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  std::int64_t start(const GangLaunch& launch) override {
    const std::scoped_lock lock(mutex_);
    log_files_[launch.gang] = launch.log_file;
    table_.add(launch);
    return launch.coordinator_epoch;
  }
  void saved(std::int64_t gang) override {
    const std::scoped_lock lock(mutex_);
    table_.saved(gang);
    changed_.notify_all();
  }
  // Whether the job is there is seen at the next look.
  bool adopt(const GangLaunch& launch, std::int64_t number) override {
    const std::scoped_lock lock(mutex_);
    log_files_[launch.gang] = launch.log_file;
    table_.adopt(launch, number, clock_.now());
    return true;
  }
  std::vector<std::int64_t> begun() override {
    say_news();
    const std::scoped_lock lock(mutex_);
    return table_.take_begun();
  }
  std::vector<GangExit> ended() override {
    const std::scoped_lock lock(mutex_);
    if (failure_ != nullptr) {
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
    std::vector<GangExit> out = table_.take_ended();
    for (GangExit& exit : out) {
      if (!exit.is_blameless) {  // the job's output says more than its state
        exit.reason += ": " + exit_reason(end_of_log(log_files_[exit.gang]));
        logger_.warn("gang {}: {}", exit.gang, exit.reason);
      }
      log_files_.erase(exit.gang);
    }
    return out;
  }
  void kill(std::int64_t gang) override {
    const std::scoped_lock lock(mutex_);
    table_.cancel(gang);
    changed_.notify_all();
  }
  // What a job asks for: threads_per_rank, or one.
  [[nodiscard]] int cores() const override {
    return sweep_.resources().gangs() * sweep_.resources().ranks_per_gang();
  }

 private:
  static PilotPatience patience_of(const config::Pool& pool) {
    PilotPatience patience;
    patience.delay_s = pool.poll();
    patience.max_delay_s = std::max(patience.max_delay_s, pool.poll());
    return patience;
  }

  void talk_with_slurm(const std::stop_token& stop) {
    try {
      while (!stop.stop_requested()) {
        work();
        std::unique_lock lock(mutex_);
        const auto pause = std::chrono::duration<double>(next_pause());
        changed_.wait_for(lock, stop, pause, [this] { return has_errand(); });
      }
      say_farewell();
    } catch (const Error&) {
      const std::scoped_lock lock(mutex_);
      failure_ = std::current_exception();
    }
  }

  // Something to do at once; more is seen by looking.
  [[nodiscard]] bool has_errand() {
    const std::vector<std::string> names = table_.to_cancel();
    return table_.can_submit(clock_.now()) ||
           std::any_of(names.begin(), names.end(),
                       [this](const std::string& name) { return !cancelled_.contains(name); });
  }
  [[nodiscard]] double next_pause() const {
    return std::max(0.01, std::min(next_look_ - clock_.now(), pool_.poll()));
  }

  void work() {
    submit();
    cancel();
    if (clock_.now() >= next_look_) {
      look();
    }
  }

  void submit() {
    for (;;) {
      PilotJob job;
      {
        const std::scoped_lock lock(mutex_);
        const GangLaunch* const launch = table_.next_to_submit(clock_.now());
        if (launch == nullptr) {
          return;
        }
        job.launch = *launch;
        job.name = table_.name_of(launch->gang);
      }
      job.working_directory = working_directory_;
      const std::string script = campaign_ + "/slurm/pilot.sh";
      make_directories(campaign_ + "/slurm");
      write_file_atomically(script, pilot_script(job, sweep_.resources()), 0755);
      const SlurmAnswer answer = slurm_.submit(script, job.name);
      const std::scoped_lock lock(mutex_);
      table_.submitted(job.launch.gang, answer, clock_.now());
      if (!table_.refusal().empty()) {
        throw Error(ErrorKind::kConfig, "Slurm refuses the job of a gang: " + table_.refusal(),
                    script, "see resources.slurm and resources.launcher.pool of the sweep file");
      }
    }
  }

  void cancel() {
    std::vector<std::string> names;
    {
      const std::scoped_lock lock(mutex_);
      names = table_.to_cancel();
    }
    // Again only when the next look still finds it.
    for (const std::string& name : names) {
      if (!cancelled_.contains(name)) {
        const SlurmAnswer answer = slurm_.cancel(name);
        const std::scoped_lock lock(mutex_);
        cancelled_.insert(name);
        if (answer.outcome != SlurmOutcome::kDone) {
          note_trouble("scancel: " + answer.text);
        }
      }
    }
  }

  void look() {
    {
      const std::scoped_lock lock(mutex_);
      if (has_looked_ && !table_.is_worth_a_look()) {
        next_look_ = clock_.now() + pool_.poll();
        return;
      }
    }
    std::string trouble;
    const auto jobs = slurm_.jobs_now(trouble);
    const std::scoped_lock lock(mutex_);
    cancelled_.clear();
    if (!jobs) {
      pause_ = std::clamp(2 * pause_, pool_.poll(), kMaxPauseFactor * pool_.poll());
      next_look_ = clock_.now() + pause_;
      note_trouble("squeue: " + trouble);
      return;
    }
    note_trouble("");
    has_looked_ = true;
    pause_ = 0;
    next_look_ = clock_.now() + pool_.poll();
    table_.looked(*jobs, clock_.now());
  }

  // Said when it changes, not each time.
  void note_trouble(const std::string& trouble) {
    if (trouble != trouble_) {
      trouble_news_.push_back(trouble.empty() ? "Slurm answers again" : trouble + "; asking again");
      trouble_ = trouble;
    }
  }

  // What the campaign wants cancelled is cancelled, if Slurm hears it in time.
  void say_farewell() {
    const double end = clock_.now() + kFarewellSeconds;
    for (;;) {
      {
        const std::scoped_lock lock(mutex_);
        if (table_.to_cancel().empty() || clock_.now() > end) {
          return;
        }
      }
      cancel();
      next_look_ = 0;
      look();
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }

  void say_news() {
    std::vector<std::string> news;
    std::vector<std::string> trouble;
    {
      const std::scoped_lock lock(mutex_);
      news = table_.take_news();
      trouble = std::exchange(trouble_news_, {});
    }
    for (const std::string& text : trouble) {
      logger_.warn("{}", text);
    }
    for (const std::string& text : news) {
      logger_.info("{}", text);
    }
  }

  const config::Sweep& sweep_;
  config::Pool pool_;
  std::string campaign_;
  Logger& logger_;
  std::string working_directory_;
  SystemClock clock_;
  SlurmCommands slurm_;
  // Of the thread alone.
  double next_look_ = 0;
  double pause_ = 0;
  bool has_looked_ = false;

  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  PilotTable table_;
  std::map<std::int64_t, std::string> log_files_;  // by gang
  std::set<std::string> cancelled_;                // asked for since the last look
  std::string trouble_;
  std::vector<std::string> trouble_news_;
  std::exception_ptr failure_;
  std::jthread thread_;  // last: it uses the members above
};

}  // namespace

std::unique_ptr<Launcher> make_pool(const config::Sweep& sweep, const std::string& campaign,
                                    Logger& logger) {
  return std::make_unique<Pool>(sweep, campaign, logger);
}

}  // namespace finescale
