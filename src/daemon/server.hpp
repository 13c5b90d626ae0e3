// The daemon's event loop: serves a Kernel to RemoteKernels over a listening Unix socket. A request is
// carried out whole before the next one, but for test runs: these take as long as the client likes, so each
// has a thread of its own, which ends when the client hangs up or the daemon stops. A client that does not
// take its answer waits alone: sockets never block, and a client's next request is read only when its last
// answer has gone out.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "client/wire.hpp"
#include "daemon/object_table.hpp"

namespace skep::daemon {

/// What the loop does besides serving.
struct ServerHooks {
  /// Before each request: drop what removed pins held, say.
  std::function<void()> before_request;
  /// When readable, before_request is called as well. -1: none.
  int wake_fd = -1;
  /// Lines of `skep daemon status` beyond the loop's own.
  std::string about;
};

class Server {
 public:
  /// `listener`: a listening SOCK_SEQPACKET socket, non-blocking. `kernel` outlives the objects
  /// (drop_objects()).
  static Result<std::unique_ptr<Server>> create(Kernel& kernel, UniqueFd listener, ServerHooks hooks);
  ~Server();

  /// Serves until a client asks to stop or `stop_fd` (an eventfd or signalfd, -1: none) becomes readable.
  Result<void> run(int stop_fd);
  /// Drops what clients hold. Connections stay open until this object goes: a client that asked to stop waits
  /// for it.
  void drop_objects() { objects_->clear(); }

 private:
  /// A request on a thread of its own.
  struct LongRequest {
    explicit LongRequest(client::wire::Request asked) : request(std::move(asked)) {}
    ~LongRequest() {
      interrupted = true;
      if (thread.joinable()) thread.join();
    }
    client::wire::Request request;
    client::wire::Reply reply;  ///< whole once `done`
    std::atomic<bool> interrupted{false};
    std::atomic<bool> done{false};
    std::thread thread;
  };
  struct Connection {
    UniqueFd fd;
    pid_t pid = 0;
    std::optional<client::wire::Message> pending;  ///< an answer that the socket did not take yet
    std::unique_ptr<LongRequest> running;
  };

  Server(Kernel& kernel, UniqueFd listener, ServerHooks hooks);
  Result<void> watch(int fd, u32 events);
  void accept_all();
  void handle(Connection& connection, u32 events);
  void close(int fd);
  bool flush(Connection& connection);
  void catch_up();
  /// Whether clients are let in; off while there is no descriptor for one.
  void listen_again(bool on);
  client::wire::Reply answer(const client::wire::Request& request, pid_t pid,
                             const std::atomic<bool>& interrupted);
  void begin_long(Connection& connection, client::wire::Request request);
  void finish_long(Connection& connection);
  void finish_all_done();
  void interrupt_all();
  void deliver(Connection& connection, client::wire::Reply reply);
  Result<void> listen_to(const Connection& connection, u32 events);
  [[nodiscard]] std::string status() const;

  Kernel& kernel_;
  UniqueFd listener_;
  bool listening_ = true;  ///< false while there is no descriptor for another client
  ServerHooks hooks_;
  UniqueFd epoll_;
  UniqueFd long_done_;  ///< eventfd: a LongRequest is done
  std::unique_ptr<ObjectTable> objects_;
  std::map<int, Connection> connections_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  bool stopping_ = false;
};

/// A listening socket at `path`, usable by its owner only; one left behind by a dead daemon is replaced.
Result<UniqueFd> listen_at(const std::string& path);

}  // namespace skep::daemon
