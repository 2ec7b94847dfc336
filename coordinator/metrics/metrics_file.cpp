// SPDX-License-Identifier: Apache-2.0
#include "coordinator/metrics/metrics_file.h"

#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include <hdf5.h>

#include "core/error.h"
#include "core/files.h"
#include "core/unique_handle.h"

namespace finescale {

namespace {

struct IdTraits {
  using Handle = hid_t;
  static Handle invalid() noexcept { return -1; }
  static void destroy(Handle id) noexcept {
    switch (H5Iget_type(id)) {
      case H5I_FILE:
        H5Fclose(id);
        break;
      case H5I_DATASET:
        H5Dclose(id);
        break;
      case H5I_DATASPACE:
        H5Sclose(id);
        break;
      case H5I_DATATYPE:
        H5Tclose(id);
        break;
      case H5I_ATTR:
        H5Aclose(id);
        break;
      case H5I_GENPROP_LST:
        H5Pclose(id);
        break;
      default:
        break;
    }
  }
};
using Id = UniqueHandle<IdTraits>;

Id checked(hid_t id, const char* what) {
  if (id < 0) {
    throw Error(ErrorKind::kIo, std::string("metrics.h5: ") + what + " failed", {},
                "is the disk full or the directory read-only?");
  }
  return Id(id);
}

void checked_call(herr_t code, const char* what) {
  if (code < 0) {
    throw Error(ErrorKind::kIo, std::string("metrics.h5: ") + what + " failed", {},
                "is the disk full or the directory read-only?");
  }
}

template <std::size_t N>
using Text = std::array<char, N>;

template <std::size_t N>
Text<N> text(const std::string& value) {
  Text<N> out{};
  std::memcpy(out.data(), value.data(), std::min(value.size(), N - 1));
  return out;
}

struct TrialRecord {
  Text<16> trial, state;
  Text<256> axes, tuned;
  std::int64_t first_step, num_steps, first_eval, num_evals, tokens;
  double train_flops, seconds;
};
struct StepRecord {
  Text<16> trial;
  Text<40> stage;
  std::int64_t attempt, step, tokens;
  double loss, lr, grad_norm, seconds;
};
struct EvalRecord {
  Text<16> trial;
  Text<40> stage;
  std::int64_t step;
  Text<48> set, metric;
  double value;
  std::int64_t n;
};
struct LawRecord {
  Text<64> group;
  Text<24> form, parameter;
  double value, low, high, objective, rmsd, held_out_rmsd;
  std::int64_t chosen, identifiable, n;
};

struct Member {
  const char* name;
  std::size_t offset;
  std::size_t text_size;  // 0: see is_integer
  bool is_integer;
};

Id compound(std::size_t size, const std::vector<Member>& members) {
  Id type = checked(H5Tcreate(H5T_COMPOUND, size), "type");
  for (const Member& member : members) {
    if (member.text_size > 0) {
      const Id string = checked(H5Tcopy(H5T_C_S1), "type");
      checked_call(H5Tset_size(string.get(), member.text_size), "type");
      checked_call(H5Tset_cset(string.get(), H5T_CSET_UTF8), "type");
      checked_call(H5Tinsert(type.get(), member.name, member.offset, string.get()), "type");
    } else {
      checked_call(H5Tinsert(type.get(), member.name, member.offset,
                             member.is_integer ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE),
                   "type");
    }
  }
  return type;
}

template <class Record>
void write_table(hid_t file, const char* name, const std::vector<Record>& records,
                 const std::vector<Member>& members) {
  const Id type = compound(sizeof(Record), members);
  const hsize_t size = records.size();
  const hsize_t unlimited = H5S_UNLIMITED;
  const Id space = checked(H5Screate_simple(1, &size, &unlimited), "space");
  const Id properties = checked(H5Pcreate(H5P_DATASET_CREATE), "properties");
  const hsize_t chunk = 1024;
  checked_call(H5Pset_chunk(properties.get(), 1, &chunk), "chunk");
  const Id dataset = checked(
      H5Dcreate2(file, name, type.get(), space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
      name);
  if (!records.empty()) {
    checked_call(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, records.data()),
                 name);
  }
}

std::string joined(const std::map<std::string, std::string>& values) {
  std::string out;
  for (const auto& [path, value] : values) {
    out.append(out.empty() ? "" : "; ").append(path).append("=").append(value);
  }
  return out;
}

void write_rows(hid_t file, const Campaign& campaign) {
  std::vector<TrialRecord> trials;
  std::vector<StepRecord> steps;
  std::vector<EvalRecord> evals;
  for (std::size_t i = 0; i < campaign.trials.size(); ++i) {
    const PlannedTrial& planned = campaign.trials[i];
    const TrialRow& row = campaign.rows[i];
    TrialRecord trial{text<16>(row.trial),
                      text<16>(row.state),
                      text<256>(joined(row.axes)),
                      text<256>(joined(row.tuned)),
                      std::ssize(steps),
                      0,
                      std::ssize(evals),
                      0,
                      row.tokens,
                      row.train_flops,
                      row.seconds};
    for (std::size_t s = 0; s < planned.stages.size(); ++s) {
      const auto found = campaign.results.find(planned.stages[s]);
      const bool own = planned.names[s] != "pretrain" && planned.names[s] != "tokenizer";
      if (found == campaign.results.end() || !own) {
        continue;
      }
      const std::int64_t epoch = campaign.stages.at(planned.stages[s]).epoch;
      for (const proto::StepRow& step : found->second.steps()) {
        steps.push_back({text<16>(row.trial), text<40>(planned.stages[s]), epoch, step.step(),
                         step.tokens(), step.loss(), step.lr(), step.grad_norm(), step.seconds()});
      }
      for (const proto::EvalRow& eval : found->second.evals()) {
        evals.push_back({text<16>(row.trial), text<40>(planned.stages[s]), eval.step(),
                         text<48>(eval.set()), text<48>(eval.metric()), eval.value(), eval.n()});
      }
    }
    trial.num_steps = std::ssize(steps) - trial.first_step;
    trial.num_evals = std::ssize(evals) - trial.first_eval;
    trials.push_back(trial);
  }
#define FS_MEMBER(record, name, size, integer) {#name, offsetof(record, name), size, integer}
  write_table(
      file, "trials", trials,
      {FS_MEMBER(TrialRecord, trial, 16, false), FS_MEMBER(TrialRecord, state, 16, false),
       FS_MEMBER(TrialRecord, axes, 256, false), FS_MEMBER(TrialRecord, tuned, 256, false),
       FS_MEMBER(TrialRecord, first_step, 0, true), FS_MEMBER(TrialRecord, num_steps, 0, true),
       FS_MEMBER(TrialRecord, first_eval, 0, true), FS_MEMBER(TrialRecord, num_evals, 0, true),
       FS_MEMBER(TrialRecord, tokens, 0, true), FS_MEMBER(TrialRecord, train_flops, 0, false),
       FS_MEMBER(TrialRecord, seconds, 0, false)});
  write_table(file, "steps", steps,
              {FS_MEMBER(StepRecord, trial, 16, false), FS_MEMBER(StepRecord, stage, 40, false),
               FS_MEMBER(StepRecord, attempt, 0, true), FS_MEMBER(StepRecord, step, 0, true),
               FS_MEMBER(StepRecord, tokens, 0, true), FS_MEMBER(StepRecord, loss, 0, false),
               FS_MEMBER(StepRecord, lr, 0, false), FS_MEMBER(StepRecord, grad_norm, 0, false),
               FS_MEMBER(StepRecord, seconds, 0, false)});
  write_table(file, "evals", evals,
              {FS_MEMBER(EvalRecord, trial, 16, false), FS_MEMBER(EvalRecord, stage, 40, false),
               FS_MEMBER(EvalRecord, step, 0, true), FS_MEMBER(EvalRecord, set, 48, false),
               FS_MEMBER(EvalRecord, metric, 48, false), FS_MEMBER(EvalRecord, value, 0, false),
               FS_MEMBER(EvalRecord, n, 0, true)});
}

void write_laws(hid_t file, const Study& study) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::vector<LawRecord> laws;
  for (const LawFit& fit : study.fits) {
    const auto chosen = study.chosen.find(fit.group);
    for (const auto& [name, value] : fit.parameters) {
      const auto interval = fit.intervals.find(name);
      laws.push_back(
          {text<64>(fit.group), text<24>(fit.form), text<24>(name), value,
           interval == fit.intervals.end() ? kNone : interval->second.low,
           interval == fit.intervals.end() ? kNone : interval->second.high, fit.objective, fit.rmsd,
           fit.held_out_rmsd.value_or(kNone),
           static_cast<std::int64_t>(chosen != study.chosen.end() && chosen->second == fit.form),
           static_cast<std::int64_t>(fit.identifiable), fit.n});
    }
  }
  write_table(file, "laws", laws,
              {FS_MEMBER(LawRecord, group, 64, false), FS_MEMBER(LawRecord, form, 24, false),
               FS_MEMBER(LawRecord, parameter, 24, false), FS_MEMBER(LawRecord, value, 0, false),
               FS_MEMBER(LawRecord, low, 0, false), FS_MEMBER(LawRecord, high, 0, false),
               FS_MEMBER(LawRecord, objective, 0, false), FS_MEMBER(LawRecord, rmsd, 0, false),
               FS_MEMBER(LawRecord, held_out_rmsd, 0, false), FS_MEMBER(LawRecord, chosen, 0, true),
               FS_MEMBER(LawRecord, identifiable, 0, true), FS_MEMBER(LawRecord, n, 0, true)});
#undef FS_MEMBER
}

}  // namespace

void write_metrics_file(const Campaign& campaign, const Study& study, const std::string& path) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // errors are thrown, not printed
  const std::string beside = path + ".tmp." + std::to_string(::getpid());
  {
    const Id file =
        checked(H5Fcreate(beside.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "create");
    const Id scalar = checked(H5Screate(H5S_SCALAR), "space");
    const Id version = checked(H5Acreate2(file.get(), "format_version", H5T_NATIVE_INT64,
                                          scalar.get(), H5P_DEFAULT, H5P_DEFAULT),
                               "attribute");
    const std::int64_t one = 1;
    checked_call(H5Awrite(version.get(), H5T_NATIVE_INT64, &one), "attribute");
    write_rows(file.get(), campaign);
    write_laws(file.get(), study);
    checked_call(H5Fflush(file.get(), H5F_SCOPE_LOCAL), "flush");
  }
  sync_file(beside);
  rename_durably(beside, path);
}

}  // namespace finescale
