// SPDX-License-Identifier: Apache-2.0
// Each contrast as a line: interval, mean, seeds, and the bound that was stated. Effects have
// different units, so every line has a scale of its own, with the bound in the middle.
#include <algorithm>
#include <cmath>

#include "coordinator/report/figures.h"
#include "coordinator/report/html.h"
#include "coordinator/report/svg.h"

namespace finescale {

namespace {

constexpr double kContrastsWidth = 880, kContrastsLeft = 250, kContrastsRight = 24,
                 kContrastsTop = 20, kContrastsRow = 44;
constexpr std::size_t kNameLength = 27;  // of a line in front of kContrastsLeft

// Where on its line a value lies; ratios by their logarithm.
class RowScale {
 public:
  explicit RowScale(const ContrastResult& result) : is_ratio_(result.data.is_ratio) {
    bound_ = result.data.is_equivalence ? 0 : at(result.data.bound);
    reach_ = std::max(std::fabs(at(result.low) - bound_), std::fabs(at(result.high) - bound_));
    for (const double effect : result.data.effects) {
      reach_ = std::max(reach_, std::fabs(effect - bound_));
    }
    reach_ = std::max(reach_, result.data.is_equivalence ? result.data.bound : 0);
    reach_ = reach_ > 0 ? 1.1 * reach_ : 1;
  }
  [[nodiscard]] double x(double value) const { return place(at(value)); }
  // Of a seed's effect, which is a logarithm already.
  [[nodiscard]] double x_of_effect(double effect) const { return place(effect); }

 private:
  [[nodiscard]] double at(double value) const { return is_ratio_ ? std::log(value) : value; }
  [[nodiscard]] double place(double at) const {
    const double half = (kContrastsWidth - kContrastsLeft - kContrastsRight) / 2;
    return kContrastsLeft + half + half * (at - bound_) / reach_;
  }
  bool is_ratio_;
  double bound_ = 0;
  double reach_ = 0;
};

void draw_row(SvgPicture& picture, const ContrastResult& result, double y) {
  const std::vector<std::string> lines = wrapped_text(result.data.name, kNameLength, 2);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const double middle = static_cast<double>(lines.size() - 1) / 2;
    picture.text(kContrastsLeft - 14, y + 4 + 15 * (static_cast<double>(i) - middle), lines[i],
                 "label", TextAnchor::kEnd);
  }
  if (result.data.effects.empty()) {
    picture.text(kContrastsLeft, y + 4, "no result", "note");
    return;
  }
  const RowScale scale(result);
  if (result.data.is_equivalence) {
    for (const double margin : {-result.data.bound, result.data.bound}) {
      picture.line(scale.x(margin), y - 16, scale.x(margin), y + 16, "thin dashed");
    }
  } else {
    picture.line(scale.x(result.data.bound), y - 16, scale.x(result.data.bound), y + 16,
                 "thin dashed");
  }
  picture.line(scale.x(result.low), y, scale.x(result.high), y, "thin");
  for (const double effect : result.data.effects) {
    picture.marker(scale.x_of_effect(effect), y, 3, 0, "hollow");
  }
  picture.marker(scale.x(result.effect), y, 5.5, 3, "filled",
                 result.data.name + ": " + typeset_number(result.effect, 3));
}

}  // namespace

Figure make_contrast_figure(const ReportData& data) {
  const std::vector<ContrastResult>& contrasts = data.input->contrasts;
  if (contrasts.empty()) {
    return {};
  }
  SvgPicture picture("figure-contrasts", kContrastsWidth,
                     kContrastsTop + kContrastsRow * static_cast<double>(contrasts.size()) + 10,
                     "Contrasts",
                     "One line for each contrast: its interval, its mean, its seeds, and the bound "
                     "that was stated before the run.");
  picture.open_group("s0 d1");
  double y = kContrastsTop + kContrastsRow / 2;
  for (const ContrastResult& result : contrasts) {
    draw_row(picture, result, y);
    y += kContrastsRow;
  }
  picture.close_group();
  return {picture.finish(),
          "<b>Effects and their bounds.</b> Diamonds are means, circles seeds, lines intervals; "
          "dashed is what was stated before the run. Each line has a scale of its own."};
}

}  // namespace finescale
