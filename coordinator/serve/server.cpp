// SPDX-License-Identifier: Apache-2.0
#include "coordinator/serve/server.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include <httplib.h>

#include "coordinator/campaign_reader.h"
#include "coordinator/current_status.h"
#include "coordinator/finish.h"
#include "coordinator/serve/live_page.h"
#include "coordinator/serve/prometheus.h"
#include "core/error.h"
#include "core/secret.h"

namespace finescale {

namespace {

constexpr const char* kHost = "127.0.0.1";
// Each open page keeps a thread, asleep for most of the time.
constexpr std::size_t kThreads = 32;
constexpr auto kEventEvery = std::chrono::seconds(1);
// Laws are fitted anew for a page at most this often.
constexpr auto kReportEvery = std::chrono::seconds(5);

// A page elsewhere that resolves its own name to this address must not read what is here.
bool is_local_name(std::string host) {
  host = host.substr(0, host.rfind(':'));
  return host == kHost || host == "localhost";
}

bool may_read(const httplib::Request& request, const std::string& token) {
  const std::string header = request.get_header_value("Authorization");
  constexpr std::string_view kBearer = "Bearer ";
  return is_local_name(request.get_header_value("Host")) &&
         (is_same_secret(request.get_param_value("token"), token) ||
          (header.starts_with(kBearer) && is_same_secret(header.substr(kBearer.size()), token)));
}

}  // namespace

struct CampaignServer::Impl {
  using Answer = std::function<void(const httplib::Request&, httplib::Response&)>;

  std::string directory;
  std::string token;
  httplib::Server server;
  int port = 0;
  std::atomic<bool> ends = false;
  std::mutex mutex;  // of the report
  ReportInput report;
  std::chrono::steady_clock::time_point made;
  bool is_made = false;

  void add_routes() {
    get("/", [this](const auto&, auto& response) {
      const std::string nonce = random_token();
      response.set_content(
          report_html(newest_report(), live_part(current_status(directory), nonce)),
          "text/html; charset=utf-8");
    });
    get("/status.json", [this](const auto&, auto& response) {
      response.set_content(current_status(directory), "application/json");
    });
    get("/metrics", [this](const auto&, auto& response) {
      response.set_content(prometheus_text(current_status(directory)), kPrometheusType);
    });
    get("/events", [this](const auto&, auto& response) {
      response.set_chunked_content_provider(
          "text/event-stream",
          [this](std::size_t, httplib::DataSink& sink) { return send_event(sink); });
    });
  }

  void get(const std::string& path, Answer answer) {
    server.Get(path, [this, answer = std::move(answer)](const httplib::Request& request,
                                                        httplib::Response& response) {
      response.set_header("Cache-Control", "no-store");
      response.set_header("Referrer-Policy", "no-referrer");
      response.set_header("X-Content-Type-Options", "nosniff");
      if (!may_read(request, token)) {
        response.status = 403;
        response.set_content("wrong token: open the address that finescale serve printed\n",
                             "text/plain");
        return;
      }
      try {
        answer(request, response);
      } catch (const Error& error) {
        response.status = error.kind() == ErrorKind::kConfig ? 404 : 500;
        response.set_content(describe(error) + "\n", "text/plain");
      }
    });
  }

  ReportInput newest_report() {
    const std::scoped_lock lock(mutex);
    const auto now = std::chrono::steady_clock::now();
    if (!is_made || now - made > kReportEvery) {
      report = report_input(read_campaign(directory));
      made = std::chrono::steady_clock::now();
      is_made = true;
    }
    return report;
  }

  // One event; false: the reader has gone, or the server ends.
  bool send_event(httplib::DataSink& sink) const {
    std::string event;
    try {
      std::string status = current_status(directory);
      for (std::size_t at = 0; (at = status.find('\n', at)) != std::string::npos; at += 6) {
        status.replace(at, 1, "\ndata: ");
      }
      event = "data: " + status + "\n\n";
    } catch (const Error& error) {
      event = ": " + error.message() + "\n\n";
    }
    if (ends || !sink.write(event.data(), event.size())) {
      return false;
    }
    for (auto slept = std::chrono::milliseconds(0); slept < kEventEvery && !ends;) {
      constexpr auto kNap = std::chrono::milliseconds(50);
      std::this_thread::sleep_for(kNap);
      slept += kNap;
    }
    return !ends;
  }
};

CampaignServer::CampaignServer(std::string directory, int port, std::string token)
    : impl_(std::make_unique<Impl>()) {
  impl_->directory = std::move(directory);
  impl_->token = std::move(token);
  impl_->server.new_task_queue = [] {
    return new httplib::ThreadPool(kThreads);
  };                                        // NOLINT: its owner
  impl_->server.set_keep_alive_timeout(2);  // what an end of the server waits for
  // The library's own option would share a port that is taken.
  impl_->server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  impl_->add_routes();
  if (port == 0) {
    impl_->port = impl_->server.bind_to_any_port(kHost);
  } else {
    impl_->port = impl_->server.bind_to_port(kHost, port) ? port : -1;
  }
  if (impl_->port < 0) {
    throw Error(ErrorKind::kResource, "cannot listen on port " + std::to_string(port), kHost,
                "another program may use it: leave --port out for any that is free");
  }
}

CampaignServer::~CampaignServer() = default;

int CampaignServer::port() const noexcept {
  return impl_->port;
}

std::string CampaignServer::url() const {
  return "http://" + std::string(kHost) + ":" + std::to_string(impl_->port) +
         "/?token=" + impl_->token;
}

void CampaignServer::run() {
  impl_->server.listen_after_bind();
}

void CampaignServer::stop() {
  impl_->ends = true;
  impl_->server.stop();
}

}  // namespace finescale
