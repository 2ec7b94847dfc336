// SPDX-License-Identifier: Apache-2.0
#include "tests/scaling/real_curves.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace finescale {
namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> fields;
  std::stringstream stream(line);
  for (std::string field; std::getline(stream, field, ',');) {
    fields.push_back(field);
  }
  return fields;
}

}  // namespace

std::filesystem::path real_curves_file(const std::string& task) {
  const char* given = std::getenv("FINESCALE_SHARED");
  const std::filesystem::path shared =
      given != nullptr ? std::filesystem::path(given)
                       : std::filesystem::path(FINESCALE_SOURCE_DIR) / ".." / "shared";
  const std::filesystem::path file = shared / "data" / "finetuning-curves" / (task + ".csv");
  return std::filesystem::exists(file) ? file : std::filesystem::path();
}

std::vector<RealCurve> read_real_curves(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  const std::vector<std::string> header = split(line);
  std::vector<RealCurve> curves;
  while (std::getline(stream, line)) {
    const std::vector<std::string> fields = split(line);
    RealCurve curve;
    curve.model = fields.at(0);
    for (std::size_t i = 2; i + 2 < header.size(); ++i) {
      LawPoint point;
      point.D = std::stod(header[i]);
      point.loss = std::stod(fields.at(i));
      point.group = curve.model;
      curve.points.push_back(point);
    }
    curves.push_back(curve);
  }
  return curves;
}

}  // namespace finescale
