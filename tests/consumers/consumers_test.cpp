// The readers of ring buffers and perf events, over every kernel there is: in this process (compiled and
// interpreted), in a daemon, and the machine's own, which says what must come out.
#include <sched.h>

#include "client/linux_kernel.hpp"
#include "client/remote_kernel.hpp"
#include "consumers/event_reader.hpp"
#include "consumers/ring_reader.hpp"
#include "daemon/daemon_thread.hpp"
#include "kernel_contract/contract.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::contract {
namespace {

using consumers::EventReader;
using consumers::EventSource;
using consumers::RingReader;

class Consumers : public KernelContract {
 protected:
  void SetUp() override {
    KernelContract::SetUp();
    // The machine's kernel runs test runs where the caller runs.
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    ::sched_getaffinity(0, sizeof before_, &before_);
    ::sched_setaffinity(0, sizeof one, &one);
  }
  void TearDown() override {
    ::sched_setaffinity(0, sizeof before_, &before_);
    KernelContract::TearDown();
  }
  [[nodiscard]] bool linux() { return kernel().kernel_name() == "linux"; }
  static bool readable(int fd) {
    pollfd wait{fd, POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }
  /// Outputs 8 bytes, 0x0807060504030201, into the slot; the result is the helper's.
  Handle outputs(const Handle& events, s32 slot) {
    using namespace code;
    return load(
        xdp(program(store_w_imm(10, -8, 0x04030201), store_w_imm(10, -4, 0x08070605), map_fd(2, events.fd()),
                    make(0xb4, 3, 0, 0, slot), mov_reg(4, 10), add(4, -8), mov(5, 8), call(25), exit())));
  }
  /// The same into a ring buffer.
  Handle outputs_record(const Handle& ring, s32 flags = 0) {
    using namespace code;
    return load(
        xdp(program(store_w_imm(10, -8, 0x04030201), store_w_imm(10, -4, 0x08070605), map_fd(1, ring.fd()),
                    mov_reg(2, 10), add(2, -8), mov(3, 8), mov(4, flags), call(130), exit())));
  }
  s32 result(const Handle& prog, u32 repeat = 1) {
    const auto ran = run(prog, 64, 4096, repeat);
    EXPECT_TRUE(ran.has_value()) << (ran ? "" : ran.error().what);
    return ran ? static_cast<s32>(ran->retval) : -1;
  }

  struct Seen {
    std::vector<std::vector<std::byte>> samples;
    std::vector<EventSource> sources;
    std::vector<u64> times, lost;
    std::vector<char> order;  ///< 's' and 'l'
  };
  static consumers::EventVisitor into(Seen& seen) {
    return {.sample =
                [&seen](const EventSource& source, u64 time, ByteView data) {
                  seen.samples.emplace_back(data.begin(), data.end());
                  seen.sources.push_back(source);
                  seen.times.push_back(time);
                  seen.order.push_back('s');
                },
            .lost =
                [&seen](const EventSource&, u64, u64 count) {
                  seen.lost.push_back(count);
                  seen.order.push_back('l');
                },
            .other = [](const EventSource&, u32 type, u32) { FAIL() << "record of type " << type; }};
  }

 private:
  cpu_set_t before_{};
};

constexpr s32 current_cpu = -1;  // BPF_F_CURRENT_CPU in 32 bits

TEST_P(Consumers, EventsComeToTheReaderOfTheirCpu) {
  const Handle events = map(map_spec(MapType::perf_event_array, 4, 4, 64));
  const Handle prog = outputs(events, current_cpu);
  EXPECT_EQ(result(prog), -ENOENT) << "nobody reads";
  auto reader = EventReader::open(kernel(), events.fd(), 8);
  ASSERT_TRUE(reader) << reader.error().what;
  EXPECT_FALSE(readable((*reader)->fd()));
  EXPECT_EQ(result(prog, 3), 0);
  EXPECT_TRUE(readable((*reader)->fd()));
  Seen seen;
  EXPECT_EQ(*(*reader)->consume(into(seen)), 3u);
  ASSERT_EQ(seen.samples.size(), 3u);
  EXPECT_FALSE(readable((*reader)->fd()));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(seen.sources[i].cpu, 0u);
    EXPECT_EQ(seen.sources[i].index, 0u);
    EXPECT_GE(seen.times[i], i == 0 ? 1 : seen.times[i - 1]);
    ASSERT_EQ(seen.samples[i].size(), 12u) << "8 bytes and the 4 of their length fill 16";
    for (u32 byte = 0; byte < 8; ++byte) EXPECT_EQ(seen.samples[i][byte], static_cast<std::byte>(byte + 1));
  }
  EXPECT_EQ(*(*reader)->consume(into(seen)), 0u);
  EXPECT_EQ(result(prog), 0);
  EXPECT_TRUE(readable((*reader)->fd())) << "woken again";
  if (linux()) return;  // there an event stays in its slot until the map's descriptor is closed
  reader->reset();
  for (int i = 0; i < 64 && result(prog) == 0; ++i) {
  }
  EXPECT_EQ(result(prog), -ENOENT) << "the reader has gone";
}

TEST_P(Consumers, AnEventTakesWhatItsCpuOutputs) {
  const Handle events = map(map_spec(MapType::perf_event_array, 4, 4, 4));
  const auto open = [&](u32 cpu, u32 index, u32 pages = 8) {
    return EventReader::open(kernel(), events.fd(), std::array{EventSpec{cpu, index, pages}});
  };
  auto reader = open(0, 3);
  ASSERT_TRUE(reader) << reader.error().what;
  EXPECT_EQ(result(outputs(events, 3)), 0);
  EXPECT_EQ(result(outputs(events, 2)), -ENOENT);
  EXPECT_EQ(result(outputs(events, 4)), -E2BIG);
  Seen seen;
  ASSERT_EQ(*(*reader)->consume(into(seen)), 1u);
  EXPECT_EQ(seen.sources[0].index, 3u);
  EXPECT_EQ(error_of(open(0, 4)), E2BIG);
  EXPECT_EQ(error_of(open(100000, 0)), linux() ? EINVAL : ENODEV);
  if (const auto cpus = kernel().possible_cpus(); *cpus > 1) {
    auto other = open(1, 1);
    ASSERT_TRUE(other) << other.error().what;
    EXPECT_EQ(result(outputs(events, 1)), -EOPNOTSUPP) << "another CPU's event";
  }
  const u32 three = 3;
  EXPECT_EQ(error_of(kernel().map_delete_elem(events.fd(), bytes_of(three))), 0);
  EXPECT_EQ(error_of(kernel().map_delete_elem(events.fd(), bytes_of(three))), ENOENT);
  EXPECT_EQ(result(outputs(events, 3)), -ENOENT);
  const Handle array = map(map_spec(MapType::array, 4, 4, 4));
  EXPECT_EQ(error_of(EventReader::open(kernel(), array.fd(), 8)), EINVAL) << "no perf_event_array";
}

TEST_P(Consumers, LostEventsAreCountedWhereTheyAreMissing) {
  const Handle events = map(map_spec(MapType::perf_event_array, 4, 4, 64));
  const Handle prog = outputs(events, current_cpu);
  auto reader = EventReader::open(kernel(), events.fd(), 1);
  ASSERT_TRUE(reader) << reader.error().what;
  // A record has 32 bytes, and the last byte of a ring stays free: 127 fit into 4096.
  EXPECT_EQ(result(prog, 200), -ENOSPC);
  Seen seen;
  EXPECT_EQ(*(*reader)->consume(into(seen)), 127u);
  EXPECT_TRUE(seen.lost.empty()) << "told with the next event";
  EXPECT_EQ(result(prog), 0);
  EXPECT_EQ(*(*reader)->consume(into(seen)), 1u);
  EXPECT_EQ(seen.lost, std::vector<u64>{73});
  ASSERT_GE(seen.order.size(), 2u);
  EXPECT_EQ(seen.order[seen.order.size() - 2], 'l');
  // Records that run over the ring's end come out whole.
  for (int round = 0; round < 50; ++round) {
    Seen more;
    EXPECT_EQ(result(prog, 77), 0);
    EXPECT_EQ(*(*reader)->consume(into(more)), 77u);
    for (const auto& sample : more.samples) ASSERT_EQ(skep::load<u64>(sample.data()), 0x0807060504030201u);
  }
}

TEST_P(Consumers, RingRecordsComeInOrder) {
  const Handle ring = map(map_spec(MapType::ringbuf, 0, 0, 4096));
  const Handle prog = outputs_record(ring);
  auto reader = RingReader::open(kernel(), ring.fd());
  ASSERT_TRUE(reader) << reader.error().what;
  EXPECT_FALSE(readable((*reader)->fd()));
  EXPECT_EQ(result(prog, 3), 0);
  EXPECT_TRUE(readable((*reader)->fd()));
  u32 records = 0;
  const auto count = [&](ByteView record) {
    EXPECT_EQ(record.size(), 8u);
    EXPECT_EQ(skep::load<u64>(record.data()), 0x0807060504030201u);
    return ++records != 2;
  };
  EXPECT_EQ(*(*reader)->consume(count), 2u) << "stopped";
  EXPECT_EQ(*(*reader)->consume(count), 1u);
  EXPECT_FALSE(readable((*reader)->fd()));
  EXPECT_EQ(*(*reader)->consume(count), 0u);
  EXPECT_EQ(result(prog), 0);
  EXPECT_TRUE(readable((*reader)->fd())) << "woken again";
  EXPECT_EQ(*(*reader)->consume(count), 1u);
  // A record has 16 bytes, and the ring is never quite full: 255 fit.
  EXPECT_EQ(result(prog, 300), -EAGAIN);
  EXPECT_EQ(*(*reader)->consume(count), 255u);
  EXPECT_EQ(result(outputs_record(ring, 1 /* BPF_RB_NO_WAKEUP */)), 0);
  if (!linux()) {
    EXPECT_FALSE(readable((*reader)->fd())) << "asked not to wake";
  }
  EXPECT_EQ(*(*reader)->consume(count), 1u);
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQ(result(prog, 200), 0);
    EXPECT_EQ(*(*reader)->consume(count), 200u) << "over the ring's end";
  }
  const Handle array = map(map_spec(MapType::array, 4, 4, 4));
  EXPECT_EQ(error_of(RingReader::open(kernel(), array.fd())), EINVAL);
}

Result<Instance> in_process(bool no_jit) {
  runtime::Config config;
  config.no_jit = no_jit;
  return Instance{nullptr, TRY(runtime::UserKernel::create(config))};
}
Result<Instance> remote() {
  auto daemon = std::make_shared<daemon::DaemonThread>();
  TRY(daemon->start());
  return Instance{daemon, TRY(client::RemoteKernel::connect({daemon->directory(), {}}))};
}
Result<Instance> machine() {
  auto kernel = std::make_unique<client::LinuxKernel>(client::LinuxKernel::Options{.mount_bpffs = false});
  if (const auto id = kernel->get_next_id(ObjectKind::prog, 0); !id && id.error().code != ENOENT)
    return fail(id.error().code, "bpf(2) is not to be had here: " + id.error().what);
  return Instance{nullptr, std::move(kernel)};
}

INSTANTIATE_TEST_SUITE_P(All, Consumers,
                         ::testing::Values(Subject{"user", [] { return in_process(false); }},
                                           Subject{"interpreted", [] { return in_process(true); }},
                                           Subject{"remote", remote}, Subject{"linux", machine}),
                         subject_name);

}  // namespace
}  // namespace skep::contract
