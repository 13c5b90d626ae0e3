// See server.hpp.
#include "daemon/server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/serve_bpf.hpp"
#include "daemon/serve_own.hpp"
#include "daemon/wire_caller.hpp"

namespace skep::daemon {

namespace wire = client::wire;

namespace {
/// For what is too short to be worth it.
const std::atomic<bool> uninterrupted{false};
}  // namespace

Result<UniqueFd> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(ENAMETOOLONG, fmt::format("{}: too long a path", path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(path);
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) return fail_errno(path);
  const mode_t before = ::umask(0177);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(before);
  if (bound < 0) return fail_errno(path);
  if (::listen(fd.get(), 64) < 0) return fail_errno(path);
  return fd;
}

Server::Server(Kernel& kernel, UniqueFd listener, ServerHooks hooks)
    : kernel_(kernel), listener_(std::move(listener)), hooks_(std::move(hooks)) {}

Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::create(Kernel& kernel, UniqueFd listener, ServerHooks hooks) {
  std::unique_ptr<Server> server(new Server(kernel, std::move(listener), std::move(hooks)));
  server->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!server->epoll_) return fail_errno("epoll");
  server->objects_ = TRY(ObjectTable::create());
  TRY(server->watch(server->listener_.get(), EPOLLIN));
  server->long_done_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!server->long_done_) return fail_errno("eventfd");
  TRY(server->watch(server->objects_->wake_fd(), EPOLLIN));
  TRY(server->watch(server->long_done_.get(), EPOLLIN));
  if (server->hooks_.wake_fd >= 0) TRY(server->watch(server->hooks_.wake_fd, EPOLLIN));
  return server;
}

Result<void> Server::watch(int fd, u32 events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return fail_errno("epoll");
  return {};
}

/// Everything that has happened before the request at hand: closed descriptors, removed pins.
void Server::catch_up() {
  objects_->drop_closed();
  if (hooks_.before_request) hooks_.before_request();
  listen_again(true);
}

Result<void> Server::run(int stop_fd) {
  if (stop_fd >= 0) TRY(watch(stop_fd, EPOLLIN));
  std::array<epoll_event, 64> events;  // NOLINT: filled by epoll_wait
  while (!stopping_) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) return fail_errno("epoll");
    for (int i = 0; i < count && !stopping_; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      const int fd = event.data.fd;
      if (fd == stop_fd)
        stopping_ = true;
      else if (fd == listener_.get())
        accept_all();
      else if (fd == objects_->wake_fd() || fd == hooks_.wake_fd)
        catch_up();
      else if (fd == long_done_.get())
        finish_all_done();
      else if (const auto found = connections_.find(fd); found != connections_.end())
        handle(found->second, event.events);
    }
  }
  interrupt_all();
  return {};
}

void Server::accept_all() {
  for (;;) {
    UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      // Without a descriptor left the client waits, and we do not look until one is closed.
      if (errno == EMFILE || errno == ENFILE) listen_again(false);
      return;
    }
    ucred peer{};
    socklen_t size = sizeof peer;
    // The socket's mode lets only its owner in; root is let in by no mode, and is not the owner either.
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != ::geteuid())
      continue;
    const int number = fd.get();
    if (!watch(number, EPOLLIN)) continue;
    connections_.insert_or_assign(number, Connection{std::move(fd), peer.pid, {}, {}});
  }
}

void Server::listen_again(bool on) {
  if (listening_ == on) return;
  epoll_event event{};
  event.events = on ? u32{EPOLLIN} : 0u;
  event.data.fd = listener_.get();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener_.get(), &event) == 0) listening_ = on;
}

void Server::close(int fd) {
  connections_.erase(fd);
  catch_up();
}

/// Sends what is pending. False: the connection is of no more use.
bool Server::flush(Connection& connection) {
  if (!connection.pending) return true;
  const auto sent = wire::send(connection.fd.get(), *connection.pending, {}, MSG_DONTWAIT);
  if (!sent && sent.error().code != EAGAIN) return false;
  if (sent) connection.pending.reset();
  return listen_to(connection, sent ? EPOLLIN : EPOLLOUT).has_value();
}

/// Which events of a connection the loop is told; hang-ups always.
Result<void> Server::listen_to(const Connection& connection, u32 events) {
  epoll_event event{};
  event.data.fd = connection.fd.get();
  event.events = events;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd.get(), &event) < 0) return fail_errno("epoll");
  return {};
}

void Server::handle(Connection& connection, u32 events) {
  const int fd = connection.fd.get();
  if (connection.running) {
    if ((events & (EPOLLHUP | EPOLLERR)) == 0) return;
    connection.running->interrupted = true;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);  // once is enough
    return;
  }
  if (connection.pending) {
    if ((events & (EPOLLHUP | EPOLLERR)) != 0 || !flush(connection)) close(fd);
    return;
  }
  auto message = wire::receive(fd, MSG_DONTWAIT);
  if (!message && message.error().code == EAGAIN) return;
  if (!message || message->bytes.empty()) return close(fd);
  auto request = wire::decode_request(std::move(*message));
  if (!request) {
    // Answered, so that a client of another version learns why; then the connection ends.
    if (auto refusal = wire::encode_reply({.error = request.error().code, .what = request.error().what}))
      (void)wire::send(fd, *refusal, {}, MSG_DONTWAIT);
    return close(fd);
  }
  catch_up();
  if (request->cmd == static_cast<u32>(Cmd::prog_test_run))
    return begin_long(connection, std::move(*request));
  deliver(connection, answer(*request, connection.pid, uninterrupted));
}

void Server::begin_long(Connection& connection, wire::Request request) {
  if (!listen_to(connection, 0)) return close(connection.fd.get());
  connection.running = std::make_unique<LongRequest>(std::move(request));
  LongRequest& running = *connection.running;
  running.thread = std::thread([this, &running, pid = connection.pid] {
    // As in the kernel, a program runs where its caller may run (taskset).
    cpu_set_t allowed;
    if (::sched_getaffinity(pid, sizeof allowed, &allowed) == 0)
      ::sched_setaffinity(0, sizeof allowed, &allowed);
    running.reply = answer(running.request, pid, running.interrupted);
    running.done = true;
    ::eventfd_write(long_done_.get(), 1);
  });
}

/// Its thread has ended or is about to. Gives the answer, unless nobody is there for it.
void Server::finish_long(Connection& connection) {
  const auto running = std::exchange(connection.running, nullptr);
  running->thread.join();
  if (!listen_to(connection, EPOLLIN)) return close(connection.fd.get());  // it has hung up
  deliver(connection, std::move(running->reply));
}

void Server::finish_all_done() {
  eventfd_t count = 0;
  ::eventfd_read(long_done_.get(), &count);
  std::vector<int> done;
  for (const auto& [fd, connection] : connections_)
    if (connection.running && connection.running->done) done.push_back(fd);
  for (const int fd : done) finish_long(connections_.at(fd));
}

/// The end: whoever still has a test run learns that it was interrupted.
void Server::interrupt_all() {
  std::vector<int> running;
  for (const auto& [fd, connection] : connections_) {
    if (!connection.running) continue;
    connection.running->interrupted = true;
    running.push_back(fd);
  }
  for (const int fd : running) finish_long(connections_.at(fd));
}

void Server::deliver(Connection& connection, wire::Reply answered) {
  const int fd = connection.fd.get();
  auto reply = wire::encode_reply(std::move(answered));
  if (!reply) reply = wire::encode_reply({.error = reply.error().code, .what = reply.error().what});
  if (!reply) return close(fd);
  connection.pending = std::move(*reply);
  if (wire::send(fd, *connection.pending, {}, MSG_DONTWAIT)) {
    connection.pending.reset();
    return;
  }
  if (!flush(connection)) close(fd);
}

wire::Reply Server::answer(const wire::Request& request, pid_t pid, const std::atomic<bool>& interrupted) {
  wire::Reply reply;
  reply.attr = request.attr;
  if (request.cmd == static_cast<u32>(wire::Own::stop)) {
    stopping_ = true;
    return reply;
  }
  if (request.cmd == static_cast<u32>(wire::Own::status)) {
    const std::string text = status();
    const ByteView bytes = bytes_of(std::string_view(text));
    reply.blob.assign(bytes.begin(), bytes.end());
    return reply;
  }
  WireCaller caller(*objects_, request, pid, interrupted);
  const Result<void> done =
      request.cmd < static_cast<u32>(wire::Own::xdp_attach)
          ? serve_bpf(kernel_, caller, static_cast<Cmd>(request.cmd), reply.attr)
          : serve_own(kernel_, caller, static_cast<wire::Own>(request.cmd), reply.attr, reply.blob);
  if (!done) {
    reply.error = done.error().code;
    reply.what = done.error().what;
  } else {
    reply.fds = caller.take_fds();
  }
  reply.writes = caller.take_writes();
  return reply;
}

std::string Server::status() const {
  const auto up =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
  return fmt::format("pid: {}\n{}kernel: {}\nclients: {}\nopen descriptors: {}\nup: {} s\n", ::getpid(),
                     hooks_.about, kernel_.kernel_name(), connections_.size(), objects_->size(), up.count());
}

}  // namespace skep::daemon
