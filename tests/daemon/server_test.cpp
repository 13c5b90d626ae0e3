// The daemon's loop and RemoteKernel, end to end over a socket: the backing Kernel is the machine's own, so
// that what is tested is the way in between. Skips where bpf(2) is refused.
#include "daemon/server.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "client/daemon_directory.hpp"
#include "client/linux_kernel.hpp"
#include "client/remote_kernel.hpp"

namespace skep::daemon {
namespace {

namespace fs = std::filesystem;
namespace wire = client::wire;

MapSpec array_spec(u32 value_size = 8, u32 flags = 0) {
  MapSpec spec;
  spec.type = MapType::array;
  spec.key_size = 4;
  spec.value_size = value_size;
  spec.max_entries = 4;
  spec.flags = flags;
  spec.name = "numbers";
  return spec;
}

ProgramSpec pass_spec() {
  ProgramSpec spec;
  spec.type = ProgType::xdp;
  spec.name = "pass";
  spec.license = "GPL";
  spec.insns = {{.code = 0xb7, .imm = 2}, {.code = 0x95}};
  return spec;
}

class DaemonServer : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto map = static_cast<Kernel&>(linux_).map_create(array_spec()); !map)
      GTEST_SKIP() << "bpf(2) is not to be had here: " << map.error().what;
    std::string base = fs::temp_directory_path() / "skep-server-XXXXXX";
    ASSERT_NE(::mkdtemp(base.data()), nullptr);
    directory_ = base;
    stop_.reset(::eventfd(0, EFD_CLOEXEC));
    auto listener = listen_at(client::socket_path(directory_));
    ASSERT_TRUE(listener) << listener.error().what;
    auto server = Server::create(linux_, std::move(*listener), {});
    ASSERT_TRUE(server);
    server_ = std::move(*server);
    thread_ = std::thread([this] {
      EXPECT_TRUE(server_->run(stop_.get()));
      server_->drop_objects();
      server_.reset();
    });
  }
  void TearDown() override {
    if (thread_.joinable()) {
      const u64 one = 1;
      ASSERT_EQ(::write(stop_.get(), &one, sizeof one), 8);
      thread_.join();
    }
    if (!directory_.empty()) fs::remove_all(directory_);
  }
  std::unique_ptr<client::RemoteKernel> connect() {
    auto kernel = client::RemoteKernel::connect({directory_, {}});
    EXPECT_TRUE(kernel) << kernel.error().what;
    return std::move(*kernel);
  }
  [[nodiscard]] bool exists(ObjectKind kind, u32 id) {
    return static_cast<Kernel&>(linux_).get_fd_by_id(kind, id).has_value();
  }
  /// Objects go when the daemon notices; a request makes it.
  [[nodiscard]] bool exists_for_clients(ObjectKind kind, u32 id) {
    return connect()->get_fd_by_id(kind, id).has_value();
  }

  client::LinuxKernel linux_;
  std::string directory_;
  UniqueFd stop_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

TEST_F(DaemonServer, CarriesMapsBothWays) {
  auto remote = connect();
  Kernel& kernel = *remote;
  auto map = kernel.map_create(array_spec());
  ASSERT_TRUE(map) << map.error().what;
  const u32 key = 1;
  const u64 value = 42;
  ASSERT_TRUE(kernel.map_update_elem(map->fd(), bytes_of(key), bytes_of(value), 0));
  u64 back = 0;
  ASSERT_TRUE(kernel.map_lookup_elem(map->fd(), bytes_of(key), mut_bytes_of(back)));
  EXPECT_EQ(back, 42u);
  u32 next = 9;
  ASSERT_TRUE(kernel.map_get_next_key(map->fd(), {}, mut_bytes_of(next)));
  EXPECT_EQ(next, 0u);
  std::array<u32, 4> keys{};
  std::array<u64, 4> values{};
  u32 position = 0;
  const auto batch =
      kernel.map_lookup_batch(map->fd(), {}, mut_bytes_of(position), std::as_writable_bytes(std::span(keys)),
                              std::as_writable_bytes(std::span(values)), 4, 0, false);
  ASSERT_TRUE(batch) << batch.error().what;
  EXPECT_EQ(batch->count, 4u);
  EXPECT_EQ(values[1], 42u);
  const auto info = kernel.map_info(map->fd());
  ASSERT_TRUE(info);
  EXPECT_EQ(info->name, "numbers");
  EXPECT_GT(info->bytes_memlock, 0u);
  ASSERT_TRUE(kernel.map_freeze(map->fd()));
  EXPECT_TRUE(kernel.map_info(map->fd())->frozen);
  EXPECT_EQ(kernel.map_update_elem(map->fd(), bytes_of(key), bytes_of(value), 0).error().code, EPERM);
}

TEST_F(DaemonServer, TellsTheSameOfAProgramAsTheKernelBehindIt) {
  auto remote = connect();
  Kernel& kernel = *remote;
  auto map = kernel.map_create(array_spec());
  ProgramSpec spec = pass_spec();
  spec.insns = {{.code = 0x18, .dst = 1, .src = uapi::PSEUDO_MAP_FD, .imm = map->fd()},
                {},
                {.code = 0xb7, .imm = 2},
                {.code = 0x95}};
  auto prog = kernel.prog_load(spec);
  ASSERT_TRUE(prog) << prog.error().what;
  const auto remote_info = kernel.prog_info(prog->fd());
  ASSERT_TRUE(remote_info);
  Kernel& linux = linux_;
  auto direct = linux.get_fd_by_id(ObjectKind::prog, remote_info->id);
  const auto info = linux.prog_info(direct->fd());
  EXPECT_EQ(remote_info->tag, info->tag);
  EXPECT_EQ(remote_info->xlated, info->xlated);
  EXPECT_EQ(remote_info->jited, info->jited);
  EXPECT_EQ(remote_info->map_ids, info->map_ids);
  EXPECT_EQ(remote_info->prog_tags, info->prog_tags);
  EXPECT_EQ(remote_info->bytes_memlock, info->bytes_memlock);
  EXPECT_EQ(remote_info->map_ids, std::vector<u32>{kernel.map_info(map->fd())->id});
}

TEST_F(DaemonServer, CarriesTheVerifiersLogAndErrno) {
  auto remote = connect();
  ProgramSpec spec = pass_spec();
  spec.insns = {{.code = 0x95}};
  Log log;
  const auto prog = remote->prog_load(spec, {.level = 1, .size = 1 << 20}, &log);
  ASSERT_FALSE(prog);
  EXPECT_EQ(prog.error().code, EACCES);
  EXPECT_NE(log.text.find("R0 !read_ok"), std::string::npos) << log.text;
}

TEST_F(DaemonServer, LargeProgramsAndLogsTravelBesideTheSocket) {
  auto remote = connect();
  Kernel& kernel = *remote;
  ProgramSpec spec = pass_spec();
  spec.insns.insert(spec.insns.begin(), 400'000, {.code = 0xb7, .imm = 1});
  Log log;
  auto prog = kernel.prog_load(spec, {.level = 4, .size = 1 << 16}, &log);
  ASSERT_TRUE(prog) << prog.error().what << log.text;
  const auto info = kernel.prog_info(prog->fd());
  ASSERT_TRUE(info) << info.error().what;
  EXPECT_EQ(info->xlated.size(), 400'002u);
  spec.insns.insert(spec.insns.begin(), 700'000, {.code = 0xb7, .imm = 1});
  EXPECT_EQ(kernel.prog_load(spec).error().code, E2BIG);
}

TEST_F(DaemonServer, RunsAProgramOnAPacket) {
  auto remote = connect();
  auto prog = remote->prog_load(pass_spec(), {}, nullptr);
  TestRunSpec run;
  run.data_in.resize(100'000, std::byte{7});
  run.data_out_size = 100'000;
  run.repeat = 1;
  const auto result = remote->prog_test_run(prog->fd(), run);
  if (!result) {  // longer than a page takes frags
    run.data_in.resize(64);
    const auto small = remote->prog_test_run(prog->fd(), run);
    ASSERT_TRUE(small) << small.error().what;
    EXPECT_EQ(small->retval, 2u);
    EXPECT_EQ(small->data_out, run.data_in);
  }
}

TEST_F(DaemonServer, AnObjectLivesAsLongAsADescriptorOfItAnywhere) {
  auto remote = connect();
  auto map = remote->map_create(array_spec());
  const u32 id = remote->map_info(map->fd())->id;
  const UniqueFd copy(::fcntl(map->fd(), F_DUPFD_CLOEXEC, 0));
  map->reset();
  EXPECT_TRUE(exists_for_clients(ObjectKind::map, id));
  EXPECT_EQ(remote->map_info(copy.get())->id, id) << "the duplicate means the same object";
  remote.reset();
  EXPECT_TRUE(exists_for_clients(ObjectKind::map, id)) << "a connection holds nothing";
  auto other = connect();
  EXPECT_EQ(other->map_info(copy.get())->id, id) << "whoever has the descriptor has the object";
  UniqueFd gone(copy.get());
  (void)const_cast<UniqueFd&>(copy).release();
  gone.reset();
  EXPECT_FALSE(exists_for_clients(ObjectKind::map, id));
  EXPECT_FALSE(exists(ObjectKind::map, id));
}

TEST_F(DaemonServer, AKilledClientLeavesNothing) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto kernel = client::RemoteKernel::connect({directory_, {}});
    auto map = (*kernel)->map_create(array_spec());
    const u32 id = (*kernel)->map_info(map->fd())->id;
    (void)!::write(ends[1], &id, sizeof id);
    ::pause();
  }
  u32 id = 0;
  ASSERT_EQ(::read(ends[0], &id, sizeof id), 4);
  EXPECT_TRUE(exists_for_clients(ObjectKind::map, id));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(exists_for_clients(ObjectKind::map, id));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(DaemonServer, RefusesNumbersThatAreNoObjects) {
  auto remote = connect();
  EXPECT_EQ(remote->map_info(-1).error().code, EBADFD);
  EXPECT_EQ(remote->map_info(12345).error().code, EBADFD);
  const UniqueFd null(::open("/dev/null", O_RDONLY));
  EXPECT_EQ(remote->map_info(null.get()).error().code, EINVAL);
  auto prog = remote->prog_load(pass_spec(), {}, nullptr);
  const u32 key = 0;
  u64 value = 0;
  EXPECT_EQ(remote->map_lookup_elem(prog->fd(), bytes_of(key), mut_bytes_of(value), 0).error().code, EINVAL);
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair.data()), 0);
  EXPECT_EQ(remote->map_info(pair[0]).error().code, EINVAL) << "somebody else's socket pair";
  ::close(pair[0]);
  ::close(pair[1]);
}

TEST_F(DaemonServer, SharesTheMemoryOfAMap) {
  auto remote = connect();
  auto map = remote->map_create(array_spec(8, uapi::F_MMAPABLE));
  const auto memory = remote->map_memory(map->fd());
  ASSERT_TRUE(memory) << memory.error().what;
  auto view = Mapping::map(memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd.get(), 0, "map");
  ASSERT_TRUE(view);
  store<u64>(view->data() + memory->stride, 99);
  const u32 key = 1;
  u64 value = 0;
  ASSERT_TRUE(remote->map_lookup_elem(map->fd(), bytes_of(key), mut_bytes_of(value), 0));
  EXPECT_EQ(value, 99u);
}

TEST_F(DaemonServer, AttachesInTheClientsNetworkNamespace) {
  auto remote = connect();
  std::string skipped;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) < 0) {
      skipped = "no network namespace of our own";
      return;
    }
    auto prog = remote->prog_load(pass_spec(), {}, nullptr);
    const u32 lo = ::if_nametoindex("lo");
    const XdpAttach attach{.ifindex = lo, .prog_fd = prog->fd(), .flags = uapi::XDP_FLAGS_UPDATE_IF_NOEXIST};
    ASSERT_TRUE(remote->xdp_attach(attach));
    const auto here = remote->xdp_query();
    ASSERT_TRUE(here);
    ASSERT_EQ(here->size(), 1u);
    EXPECT_EQ((*here)[0].ifname, "lo");
    EXPECT_EQ(remote->xdp_attach(attach).error(), (Error{EBUSY, "XDP program already attached"}));
    ASSERT_TRUE(remote->xdp_attach({.ifindex = lo}));
    auto link =
        remote->link_create({.prog_fd = prog->fd(), .target_ifindex = lo, .attach_type = AttachType::xdp});
    ASSERT_TRUE(link) << link.error().what;
    EXPECT_EQ(remote->link_info(link->fd())->ifindex, lo);
    EXPECT_EQ(remote->xdp_query()->size(), 1u);
  }).join();
  if (!skipped.empty()) GTEST_SKIP() << skipped;
}

TEST_F(DaemonServer, AClientThatDoesNotReadStallsNobody) {
  auto slow = client::connect_daemon(directory_);
  ASSERT_TRUE(slow);
  wire::Value a{};
  const client::BpfCall call(static_cast<u32>(wire::Own::status), a);
  const auto message = wire::encode_request(call, {}, false);
  ASSERT_TRUE(message);
  int sent = 0;
  while (sent < 100'000 && wire::send(slow->get(), *message, {}, MSG_DONTWAIT)) ++sent;
  EXPECT_LT(sent, 100'000) << "the daemon must stop reading a client that takes no answers";
  auto other = connect();
  EXPECT_TRUE(other->possible_cpus());
  // And when it reads again, its answers are all there.
  int answers = 0;
  for (; answers < sent; ++answers) {
    const auto reply = wire::receive(slow->get(), 0);
    ASSERT_TRUE(reply);
    ASSERT_FALSE(reply->bytes.empty());
  }
}

TEST_F(DaemonServer, SurvivesNonsense) {
  u32 random = 1;
  const auto next = [&random] { return random = random * 1664525 + 1013904223; };
  {
    wire::Value a{};
    const client::BpfCall call(5u, a);
    const auto good = wire::encode_request(call, {}, false);
    for (int round = 0; round < 300; ++round) {
      auto socket = client::connect_daemon(directory_);
      ASSERT_TRUE(socket);
      wire::Message bad;
      bad.bytes = good->bytes;
      for (u32 flips = next() % 8 + 1; flips > 0; --flips)
        bad.bytes[next() % bad.bytes.size()] = static_cast<std::byte>(next() >> 24);
      if (next() % 4 == 0) bad.bytes.resize(next() % bad.bytes.size() + 1);
      std::vector<int> fds;
      if (next() % 3 == 0) fds.push_back(0);
      ASSERT_TRUE(wire::send(socket->get(), bad, fds, 0));
      (void)wire::receive(socket->get(), 0);
    }
  }
  EXPECT_TRUE(connect()->possible_cpus());
}

TEST_F(DaemonServer, ABodyInSomethingElseThanAMemfdIsRefused) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  auto socket = client::connect_daemon(directory_);
  wire::RequestHeader header{};
  header.magic = wire::magic;
  header.flags = wire::RequestHeader::in_memfd;
  header.body_size = 100'000;
  wire::Message message;
  const ByteView bytes = bytes_of(header);
  message.bytes.assign(bytes.begin(), bytes.end());
  ASSERT_TRUE(wire::send(socket->get(), message, std::array{pipe[0]}, 0));
  auto answer = wire::receive(socket->get(), 0);
  ASSERT_TRUE(answer);
  const auto reply = wire::decode_reply(std::move(*answer));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->error, EPROTO);
  EXPECT_TRUE(connect()->possible_cpus());
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_F(DaemonServer, StopsOnRequestAndSaysSoToLaterOnes) {
  auto remote = connect();
  EXPECT_NE(remote->status()->find("clients: 1\n"), std::string::npos) << *remote->status();
  ASSERT_TRUE(remote->stop());
  EXPECT_EQ(remote->possible_cpus().error().code, ECONNRESET);
  thread_.join();
  EXPECT_EQ(client::RemoteKernel::connect({directory_, {}}).error().code, ECONNREFUSED);
}

TEST_F(DaemonServer, ADeadDaemonIsAnError) {
  auto remote = connect();
  auto map = remote->map_create(array_spec());
  const u64 one = 1;
  ASSERT_EQ(::write(stop_.get(), &one, sizeof one), 8);
  thread_.join();
  const auto info = remote->map_info(map->fd());
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ECONNRESET);
  EXPECT_NE(info.error().what.find("has gone away"), std::string::npos);
}

}  // namespace
}  // namespace skep::daemon
