// SPDX-License-Identifier: Apache-2.0
// Time is passed in: state machines read a Clock, tests and the simulator turn a fake one.
#pragma once

namespace finescale {

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual double now() const = 0;       // seconds, monotonic
  [[nodiscard]] virtual double unix_now() const = 0;  // seconds since 1970

 protected:
  Clock() = default;
  Clock(const Clock&) = default;
  Clock& operator=(const Clock&) = default;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] double now() const override;
  [[nodiscard]] double unix_now() const override;
};

class FakeClock final : public Clock {
 public:
  [[nodiscard]] double now() const override { return now_; }
  [[nodiscard]] double unix_now() const override { return 1.6e9 + now_; }
  void advance(double seconds) { now_ += seconds; }

 private:
  double now_ = 0;
};

}  // namespace finescale
