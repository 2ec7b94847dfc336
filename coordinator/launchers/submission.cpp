// SPDX-License-Identifier: Apache-2.0
#include "coordinator/launchers/submission.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/unique_handle.h"

namespace finescale {

namespace {

struct LockTraits {
  using Handle = int;
  static Handle invalid() noexcept { return -1; }
  static void destroy(Handle handle) noexcept { ::close(handle); }
};

// Two submissions at once would both find no job.
UniqueHandle<LockTraits> lock_submissions(const std::string& campaign) {
  make_directories(campaign + "/slurm");
  make_directories(campaign + "/logs");  // where Slurm writes: it makes no directory
  const std::string path = campaign + "/slurm/lock";
  UniqueHandle<LockTraits> lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock) {
    throw Error(ErrorKind::kResource, "cannot write the campaign directory", path);
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error(ErrorKind::kConfig, "another finescale submit works on this campaign", path,
                "wait for it to end");
  }
  return lock;
}

std::string record_path(const std::string& campaign) {
  return campaign + "/slurm/submission.json";
}

// The epoch of the last job. A lost record is no harm: live jobs are found by name.
std::int64_t recorded_epoch(const std::string& campaign) {
  try {
    return nlohmann::json::parse(read_file(record_path(campaign))).at("epoch");
  } catch (const Error&) {
    return 0;
  } catch (const nlohmann::json::exception&) {
    return 0;
  }
}

void write_record(const std::string& campaign, std::int64_t epoch, const std::string& name,
                  const std::string& job) {
  const nlohmann::json document = {{"epoch", epoch}, {"name", name}, {"job", job}};
  write_file_atomically(record_path(campaign), document.dump(1) + "\n");
}

// The epoch in a job's name; nothing when the name is not of this campaign.
std::optional<std::int64_t> epoch_of(const std::string& name, const std::string& prefix) {
  if (!name.starts_with(prefix)) {
    return std::nullopt;
  }
  std::int64_t epoch = 0;
  const char* begin = name.data() + prefix.size();
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(begin, end, epoch);
  return error == std::errc() && stop == end && epoch > 0 ? std::optional(epoch) : std::nullopt;
}

struct Lookup {
  std::optional<SlurmJob> live;
  std::int64_t last_epoch = 0;
};

Lookup look_up(const std::string& prefix, const SlurmCommands& slurm, const std::string& own) {
  BackOff back_off(slurm.patience());
  for (;;) {
    Lookup found;
    for (const SlurmJob& job : slurm.jobs()) {
      const std::optional<std::int64_t> epoch = epoch_of(job.name, prefix);
      if (!epoch) {
        continue;
      }
      found.last_epoch = std::max(found.last_epoch, *epoch);
      if (job.id != own && !is_over(job)) {
        found.live = job;
      }
    }
    if (!found.live || !is_undecided(*found.live) || !back_off.pause()) {
      return found;
    }
    slurm.say("job " + found.live->id + " is just ending; looking whether it comes back");
  }
}

std::optional<SlurmJob> find_by_name(const std::string& name, const SlurmCommands& slurm) {
  for (SlurmJob& job : slurm.jobs()) {
    if (job.name == name) {
      return std::move(job);  // in any state: it was made
    }
  }
  return std::nullopt;
}

// sbatch until the job is there. After an answer that says neither yes nor no the job is looked
// for; later looks catch a request that was still on its way at the first.
std::string submit_by_name(const std::string& name, const std::string& script,
                           const SlurmCommands& slurm) {
  BackOff back_off(slurm.patience());
  for (;;) {
    const SlurmAnswer answer = slurm.submit(script, name);
    if (answer.outcome == SlurmOutcome::kDone) {
      return answer.text;
    }
    if (answer.outcome == SlurmOutcome::kRefused) {
      throw Error(ErrorKind::kConfig, "Slurm refuses the job: " + answer.text, script,
                  "see resources.slurm of the sweep file; finescale submit --dry-run prints the "
                  "script");
    }
    slurm.say("sbatch: " + answer.text + "; looking for the job by its name");
    constexpr int kLooks = 3;
    for (int look = 0; look < kLooks; ++look) {
      if (!back_off.pause()) {
        throw Error(ErrorKind::kResource,
                    "Slurm does not say whether it took the job: " + answer.text, script,
                    "finescale submit again later: it looks for the job " + name + " first");
      }
      if (const auto job = find_by_name(name, slurm)) {
        return job->id;
      }
    }
  }
}

SubmittedJob submit_next(const Submission& submission, const SlurmCommands& slurm,
                         const std::string& own) {
  const std::string prefix = job_prefix(submission.campaign, submission.sweep);
  const Lookup found = look_up(prefix, slurm, own);
  if (found.live) {
    return {found.live->id, found.live->name, found.live->state, false};
  }
  const std::int64_t epoch = std::max(found.last_epoch, recorded_epoch(submission.campaign)) + 1;
  const std::string name = prefix + std::to_string(epoch);
  const std::string script = submission.write_script(name, own);
  write_record(submission.campaign, epoch, name, "");
  const std::string id = submit_by_name(name, script, slurm);
  write_record(submission.campaign, epoch, name, id);
  return {id, name, "PENDING", true};
}

}  // namespace

std::string job_prefix(const std::string& campaign, const std::string& sweep) {
  constexpr std::size_t kHashLength = 8;
  return "finescale-" + sweep + "-" + hash_hex(campaign).substr(0, kHashLength) + "-";
}

SubmittedJob submit_once(const Submission& submission, const SlurmCommands& slurm) {
  const auto lock = lock_submissions(submission.campaign);
  return submit_next(submission, slurm, "");
}

SubmittedJob go_on_later(const Submission& submission, const SlurmCommands& slurm,
                         const std::string& own, bool may_requeue) {
  const auto lock = lock_submissions(submission.campaign);
  BackOff back_off(slurm.patience());
  while (may_requeue) {
    const SlurmAnswer answer = slurm.requeue(own);
    if (answer.outcome == SlurmOutcome::kDone) {
      return {own, "", "PENDING", false};
    }
    slurm.say("scontrol requeue " + own + ": " + answer.text);
    // Refused: a new job follows. Should an earlier call have requeued this one after all, the new
    // one starts when it is done, and finds nothing to do.
    if (answer.outcome == SlurmOutcome::kRefused || !back_off.pause()) {
      break;
    }
  }
  return submit_next(submission, slurm, own);
}

}  // namespace finescale
