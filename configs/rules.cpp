// SPDX-License-Identifier: Apache-2.0
#include "configs/rules.h"

#include <filesystem>
#include <fstream>
#include <set>

#include "configs/parse.h"
#include "core/error.h"

namespace finescale {

namespace {

class Rules {
 public:
  Rules(const config::Sweep& sweep, std::string file, const Positions& positions)
      : sweep_(sweep), file_(std::move(file)), positions_(positions) {}

  void check() const {
    check_name();
    check_base();
    check_data();
    check_stages();
    check_axes();
    check_tune();
    check_laws();
    check_mesh();
  }

 private:
  // The nearest enclosing field that was written gives the position.
  [[noreturn]] void fail(const std::string& path, const std::string& what, const std::string& hint = {}) const {
    for (std::string at = path; !at.empty();) {
      if (const auto found = positions_.find(at); found != positions_.end()) {
        throw Error(ErrorKind::kConfig, what, found->second, hint);
      }
      const std::size_t cut = at.find_last_of(".[");
      at = cut == std::string::npos ? "" : at.substr(0, cut);
    }
    throw Error(ErrorKind::kConfig, what, file_, hint);
  }

  void require(bool ok, const std::string& path, const std::string& what, const std::string& hint = {}) const {
    if (!ok) {
      fail(path, what, hint);
    }
  }

  void check_name() const {
    const bool good = !sweep_.name().empty() &&
                      sweep_.name().find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == std::string::npos;
    require(good, "name", "name is \"" + sweep_.name() + "\", must be letters, digits, - and _");
  }

  void check_base() const {
    const config::Base& base = sweep_.base();
    require(base.has_model() != (base.has_preset() || base.has_architecture()), "base",
            "base must give either model or preset (or architecture)", "base.model starts from weights, base.preset from a shape");
    if (base.has_model()) {
      require(!base.has_pretrain(), "base.pretrain", "base.pretrain needs base.preset: base.model is trained already");
      require(std::filesystem::exists(base.model()), "base.model", "base.model " + base.model() + " does not exist");
      return;
    }
    const config::Llama& llama = base.architecture().llama();
    const int heads = llama.num_heads();
    const int kv_heads = llama.num_kv_heads() == 0 ? heads : llama.num_kv_heads();
    require(heads % kv_heads == 0, "base.architecture.llama.num_kv_heads", "num_heads must be a multiple of num_kv_heads");
    require(llama.head_dim() != 0 || llama.hidden_size() % heads == 0, "base.architecture.llama.num_heads",
            "hidden_size must be a multiple of num_heads, or give head_dim");
    require((llama.head_dim() != 0 ? llama.head_dim() : llama.hidden_size() / heads) % 2 == 0, "base.architecture.llama.head_dim",
            "head_dim must be even for rotary positions");
    require(sweep_.data().max_length() <= llama.max_positions(), "data.max_length",
            "data.max_length is above max_positions of the model (" + std::to_string(llama.max_positions()) + ")");
    require(base.tokenizer().kind_case() != config::Tokenizer::KIND_NOT_SET || base.has_pretrain(), "base",
            "base.preset needs base.tokenizer", "give tokenizer: a tokenizer.json, or tokenizer: {train: {}} with pretrain");
    if (base.tokenizer().has_train() || !base.has_tokenizer()) {
      require(base.has_pretrain(), "base.tokenizer", "a tokenizer is trained on the pretraining text: give base.pretrain");
      require(base.tokenizer().train().vocab_size() <= llama.vocab_size(), "base.tokenizer",
              "the tokenizer's vocab_size is above the model's (" + std::to_string(llama.vocab_size()) + ")");
    }
    if (base.tokenizer().has_path()) {
      check_file(base.tokenizer().path(), "base.tokenizer");
    }
    if (base.has_pretrain()) {
      check_files(base.pretrain().data().path(), "base.pretrain.data.path");
      check_train(base.pretrain().train(), "base.pretrain.train");
    }
  }

  void check_file(const std::string& path, const std::string& field) const {
    std::error_code code;
    require(std::filesystem::is_regular_file(path, code), field, "the file " + path + " does not exist",
            "paths are relative to the sweep file");
    require(std::ifstream(path).good(), field, "the file " + path + " cannot be read");
  }

  template <class Paths>
  void check_files(const Paths& paths, const std::string& field) const {
    int index = 0;
    for (const std::string& path : paths) {
      check_file(path, paths.size() == 1 ? field : field + "[" + std::to_string(index) + "]");
      ++index;
    }
  }

  void check_data() const {
    const config::Data& data = sweep_.data();
    require(data.has_train(), "data", "data.train is missing");
    check_files(data.train().path(), "data.train.path");
    std::set<std::string> names;
    for (int i = 0; i < data.eval_size(); ++i) {
      const config::EvalSet& set = data.eval(i);
      const std::string path = "data.eval[" + std::to_string(i) + "]";
      require(names.insert(set.name()).second, path + ".name", "two eval sets are called " + set.name());
      require(set.name().find('.') == std::string::npos, path + ".name", "the name of an eval set must not hold a dot");
      require(set.path_size() > 0 || data.eval_fraction() > 0, path,
              "eval set " + set.name() + " has no path, and data.eval_fraction is 0");
      check_files(set.path(), path + ".path");
    }
    require(data.eval_fraction() == 0 || data.eval_size() > 0, "data.eval_fraction", "eval_fraction holds examples out, but no eval set uses them");
  }

  void check_train(const config::Train& train, const std::string& path) const {
    require(train.betas().empty() || train.betas_size() == 2, path + ".betas", path + ".betas must be two numbers");
    require(!(train.has_steps() && train.has_tokens()), path, path + ": give steps or tokens, not both");
    require(!(train.has_epochs() && (train.has_steps() || train.has_tokens())), path + ".epochs",
            path + ": epochs excludes steps and tokens");
    require(train.keep() != config::KEEP_BEST || train.eval_every() > 0, path + ".keep", path + ".keep: best needs eval_every");
    require(train.eval_every() == 0 || sweep_.data().eval_size() > 0, path + ".eval_every", path + ".eval_every needs an eval set");
    require(!train.has_data(), path + ".data", path + ".data: named datasets are not in this version", "leave it out: data.train is used");
    static const std::set<std::string> kModules = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};
    for (const std::string& module : train.method().lora().target_modules()) {
      require(kModules.contains(module), path + ".method.lora.target_modules", "unknown module " + module,
              "valid: q_proj k_proj v_proj o_proj gate_proj up_proj down_proj");
    }
  }

  void check_stages() const {
    std::set<std::string> names;
    bool trained = false;
    for (int i = 0; i < sweep_.trial().stages_size(); ++i) {
      const config::Stage& stage = sweep_.trial().stages(i);
      const std::string path = "trial.stages[" + std::to_string(i) + "]";
      require(stage.kind_case() != config::Stage::KIND_NOT_SET, path, path + " has no kind", "give train or evaluate");
      for (const std::string& from : stage.from()) {
        require(names.contains(from), path + ".from", path + ".from: no earlier stage is called " + from);
      }
      require(stage.from_size() <= 1, path + ".from", path + ".from: several inputs are not in this version");
      require(names.insert(stage.name()).second, path + ".name", "two stages are called " + stage.name());
      if (stage.has_train()) {
        check_train(stage.train(), path + ".train");
        trained = true;
      } else {
        require(sweep_.data().eval_size() > 0, path, "an evaluate stage needs data.eval");
        for (const std::string& metric : stage.evaluate().metrics()) {
          require(metric == "loss" || metric == "exact_match", path + ".evaluate.metrics", "unknown metric " + metric, "valid: loss, exact_match");
        }
      }
    }
    require(trained, "trial.stages", "no stage trains");
  }

  void check_axes() const {
    for (const config::Axis& axis : sweep_.axes()) {
      const std::string path = "axes." + axis.path();
      const int given = static_cast<int>(axis.values_size() > 0) + static_cast<int>(axis.has_geometric()) + static_cast<int>(axis.has_linear());
      require(given == 1, path, path + " must be a list of values, {geometric: ...} or {linear: ...}");
      try {
        const std::vector<std::string> values = axis_values(sweep_, axis);
        require(std::set<std::string>(values.begin(), values.end()).size() == values.size(), path, path + " has a value twice");
      } catch (const Error& error) {
        fail(path, error.message(), error.hint());
      }
    }
  }

  void check_metric(const std::string& metric, const std::string& path) const {
    const std::size_t dot = metric.find('.');
    std::string names;
    for (const config::EvalSet& set : sweep_.data().eval()) {
      if (metric.substr(0, dot) == set.name() && dot != std::string::npos) {
        const std::string name = metric.substr(dot + 1);
        require(name == "loss" || name == "exact_match", path, path + " is \"" + metric + "\": unknown metric " + name);
        return;
      }
      names += (names.empty() ? "" : ", ") + set.name() + ".loss";
    }
    fail(path, path + " is \"" + metric + "\", must be <eval set>.<metric>", "valid: " + names);
  }

  void check_tune() const {
    if (!sweep_.has_tune()) {
      return;
    }
    const config::Tune& tune = sweep_.tune();
    require(tune.fields_size() == 1, "tune.fields", "tune.fields must be one field in this version");
    std::set<std::string> axes;
    for (const config::Axis& axis : sweep_.axes()) {
      axes.insert(axis.path());
    }
    require(!axes.contains(tune.fields(0)), "tune.fields", tune.fields(0) + " is an axis already");
    for (const std::string& path : tune.per()) {
      require(axes.contains(path), "tune.per", "tune.per names " + path + ", which is no axis");
    }
    for (const config::FieldValues& value : tune.at()) {
      require(axes.contains(value.path()), "tune.at." + value.path(), "tune.at names " + value.path() + ", which is no axis");
    }
    require(!tune.has_geometric() || !tune.has_trials() || tune.trials() == tune.geometric().points(), "tune.trials",
            "tune.trials and tune.geometric.points differ");
    check_metric(tune.metric(), "tune.metric");
    try {
      config::Sweep copy = sweep_;
      set_field(copy, tune.fields(0), "1", "");
    } catch (const Error& error) {
      fail("tune.fields", error.message(), error.hint());
    }
  }

  void check_laws() const {
    if (sweep_.laws().has_metric()) {
      check_metric(sweep_.laws().metric(), "laws.metric");
    }
    for (const config::Target& target : sweep_.laws().target()) {
      check_metric(target.metric(), "laws.target." + target.metric());
    }
    static const std::set<std::string> kForms = {"power", "power_offset", "rectified", "additive", "multiplicative", "joint_rectified",
                                                 "data_constrained", "constant", "exponential", "logarithmic"};
    for (const std::string& form : sweep_.laws().forms()) {
      const std::string near = nearest_name(form, {kForms.begin(), kForms.end()});
      require(kForms.contains(form), "laws.forms", "unknown form " + form + (near.empty() ? "" : ", did you mean " + near + "?"));
    }
  }

  void check_mesh() const {
    const config::Mesh& mesh = sweep_.mesh();
    const int ranks = mesh.data() * mesh.shard() * mesh.tensor() * mesh.pipeline();
    require(ranks == sweep_.resources().ranks_per_gang(), "resources.ranks_per_gang",
            "the mesh has " + std::to_string(ranks) + " ranks, resources.ranks_per_gang is " + std::to_string(sweep_.resources().ranks_per_gang()));
    require(!sweep_.resources().has_interface(), "resources.interface", "only loopback is served in this version",
            "leave resources.interface out");
  }

  const config::Sweep& sweep_;
  std::string file_;
  const Positions& positions_;
};

}  // namespace

void check_rules(const config::Sweep& sweep, const std::string& file, const Positions& positions) {
  Rules(sweep, file, positions).check();
}

}  // namespace finescale
