// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include <nlohmann/json.hpp>

#include "worker/verify_resume.h"

namespace finescale {

namespace {

const char* verdict_of(const ResumeCertificate& certificate) {
  return certificate.is_bit_equal()         ? "bit-equal"
         : certificate.is_tolerance_equal() ? "tolerance-equal"
                                            : "broken";
}

}  // namespace

std::string certificate_json(const ResumeCertificate& c) {
  using OrderedJson = nlohmann::ordered_json;
  return OrderedJson{{"verdict", verdict_of(c)},
                     {"stage", c.key},
                     {"first_step", c.first_step},
                     {"last_step", c.last_step},
                     {"resumed_after", c.resumed_after},
                     {"rows", c.rows},
                     {"weights", !c.compared_weights        ? OrderedJson()
                                 : c.weights_differ.empty() ? OrderedJson("equal")
                                                            : OrderedJson(c.weights_differ)},
                     {"differs_at", c.differs_at ? OrderedJson(*c.differs_at) : OrderedJson()},
                     {"largest_deviation", c.largest_deviation},
                     {"recorded", c.recorded_environment},
                     {"here", c.environment}}
      .dump(1);
}

std::string certificate_text(const ResumeCertificate& c) {
  char line[256];
  std::snprintf(line, sizeof line, "stage %s: updates %lld to %lld executed again%s\n",
                c.key.c_str(), static_cast<long long>(c.first_step),
                static_cast<long long>(c.last_step),
                c.resumed_after > 0
                    ? (", interrupted and resumed after " + std::to_string(c.resumed_after)).c_str()
                    : "");
  std::string text = line;
  if (c.is_bit_equal()) {
    text += std::to_string(c.rows) + " rows of the record have the same bits" +
            (c.compared_weights ? ", and so have the weights at its end\n" : "\n");
  } else if (c.differs_at) {
    std::snprintf(line, sizeof line,
                  "update %lld has other bits than the record; losses differ by up to %.3g\n",
                  static_cast<long long>(*c.differs_at), c.largest_deviation);
    text += line;
  } else {
    text += "losses have the same bits, but " + c.weights_differ + " has not\n";
  }
  if (c.may_differ) {
    text += "recorded with " + c.recorded_environment + "\nhere            " + c.environment + "\n";
  }
  return text + verdict_of(c) + "\n";
}

}  // namespace finescale
