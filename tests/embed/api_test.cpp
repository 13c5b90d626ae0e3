#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <skep/skep.hpp>

#include <array>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "daemon/daemon_thread.hpp"
#include "loader/loader.hpp"

namespace {

using skep::embed::Kernel;

const std::string firewall = SKEP_EXAMPLES_DIR "/firewall.bpf.o";
const std::string globals = SKEP_OBJECTS_DIR "/globals.bpf.o";
const std::string rejected = SKEP_OBJECTS_DIR "/rejected.bpf.o";
const std::string verdicts = SKEP_OBJECTS_DIR "/verdicts.bpf.o";

struct Buffer {
  std::array<unsigned char, 1024> bytes{};
  skep_packet packet(size_t length = 64) {
    skep_packet p{};
    p.buffer = bytes.data();
    p.size = bytes.size();
    p.data = bytes.data() + 256;
    p.data_end = p.data + length;
    return p;
  }
};

TEST(Embed, RunsOnBothEngines) {
  for (const bool no_jit : {false, true}) {
    auto kernel = Kernel::create({.no_jit = no_jit, .cpus = 1, .trace = {}});
    ASSERT_TRUE(kernel) << kernel.error().what;
    auto object = kernel->load_file(globals);
    ASSERT_TRUE(object) << object.error().what << object.error().log;
    auto worker = kernel->worker();
    ASSERT_TRUE(worker) << worker.error().what;
    Buffer small, large;
    std::array packets{small.packet(60), large.packet(700)};
    ASSERT_TRUE(worker->run(*object->program("globals"), packets));
    EXPECT_EQ(packets[0].verdict, 2u);
    struct Bss {
      uint64_t packets, bytes;
      uint32_t histogram[4];
      struct {
        uint32_t size, kind;
        uint16_t queue, pad;
      } last;
      uint32_t flags;
      uint8_t hidden;
    } __attribute__((packed));
    auto bss = object->map(".bss");
    ASSERT_TRUE(bss) << bss.error().what;
    ASSERT_EQ(bss->value_size(), sizeof(Bss));
    const auto value = bss->lookup<Bss>(uint32_t{0});
    ASSERT_TRUE(value) << value.error().what;
    EXPECT_EQ(value->packets, 2u);
    EXPECT_EQ(value->bytes, 760u);
    EXPECT_EQ(value->histogram[0], 1u);
    EXPECT_EQ(value->histogram[3], 1u);
    EXPECT_EQ(value->last.size, 700u);
  }
}

TEST(Embed, TraceGoesToTheCallback) {
  std::vector<std::string> lines;
  auto kernel = Kernel::create(
      {.no_jit = false, .cpus = 0, .trace = [&](std::string_view s) { lines.emplace_back(s); }});
  ASSERT_TRUE(kernel) << kernel.error().what;
  auto object = kernel->load_file(SKEP_OBJECTS_DIR "/traced.bpf.o");
  ASSERT_TRUE(object) << object.error().what << object.error().log;
  auto worker = kernel->worker();
  Buffer one, two;
  std::array packets{one.packet(60), two.packet(61)};
  ASSERT_TRUE(worker->run(*object->program("traced"), packets));
  EXPECT_EQ(lines, (std::vector<std::string>{"packet of 60 bytes", "packet of 61 bytes"}));
  size_t size = 0;
  uint32_t retval = 0;
  const std::array<unsigned char, 62> data{};
  ASSERT_EQ(skep_program_test_run(object->program("traced")->get(), data.data(), data.size(), nullptr, &size,
                                  &retval),
            0)
      << skep_error();
  EXPECT_EQ(retval, 2u);
  EXPECT_EQ(lines.back(), "packet of 62 bytes");
}

TEST(Embed, ARefusedProgramComesWithItsLog) {
  auto kernel = Kernel::create();
  ASSERT_TRUE(kernel) << kernel.error().what;
  const auto object = kernel->load_file(rejected);
  ASSERT_FALSE(object);
  EXPECT_NE(object.error().what.find("EACCES"), std::string::npos) << object.error().what;
  EXPECT_NE(object.error().log.find("invalid access to packet"), std::string::npos) << object.error().log;
}

TEST(Embed, BadInputIsAnErrorWithAReason) {
  auto kernel = Kernel::create();
  ASSERT_TRUE(kernel) << kernel.error().what;
  EXPECT_FALSE(kernel->load_file("/nonexistent.o"));
  EXPECT_STRNE(skep_error(), "");
  const std::array<std::byte, 4> junk{};
  EXPECT_FALSE(kernel->load(junk));
  EXPECT_STRNE(skep_error(), "");
  auto object = kernel->load_file(firewall);
  ASSERT_TRUE(object) << object.error().what << object.error().log;
  EXPECT_FALSE(object->program("nosuch"));
  EXPECT_FALSE(object->map("nosuch"));
  auto map = object->map("blocked");
  ASSERT_TRUE(map);
  EXPECT_EQ(map->update(uint32_t{1}, uint64_t{1}).error().code, EINVAL);
  EXPECT_EQ(map->lookup<uint64_t>(uint16_t{1}).error().code, ENOENT);
  auto worker = kernel->worker();
  Buffer buffer;
  std::array packets{buffer.packet(), buffer.packet()};
  packets[1].data_end = buffer.bytes.data() + 2000;
  EXPECT_EQ(worker->run(*object->program("firewall"), packets).error().code, EINVAL);
  EXPECT_EQ(packets[0].verdict, 0u) << "none was run";
}

TEST(Embed, AsManyWorkersAsCpus) {
  auto kernel = Kernel::create({.no_jit = false, .cpus = 2, .trace = {}});
  ASSERT_TRUE(kernel) << kernel.error().what;
  auto object = kernel->load_file(verdicts);
  ASSERT_TRUE(object) << object.error().what << object.error().log;
  const auto program = object->program("drop");
  ASSERT_TRUE(program);
  constexpr int runs = 20000;
  const auto work = [&] {
    auto worker = kernel->worker();
    ASSERT_TRUE(worker) << worker.error().what;
    Buffer buffer;
    for (int i = 0; i < runs; ++i) {
      std::array packets{buffer.packet()};
      ASSERT_TRUE(worker->run(*program, packets));
      ASSERT_EQ(packets[0].verdict, 1u);
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(object->map("counts")->lookup<uint64_t>(uint32_t{1}).value(), 2u * runs);
  auto first = kernel->worker(), second = kernel->worker(), third = kernel->worker();
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(third);
}

const std::string events_object = SKEP_EXAMPLES_DIR "/events.bpf.o";

struct Heard {
  std::vector<std::vector<std::byte>> records;
  std::vector<uint32_t> cpus;
  uint64_t lost = 0;
  void record(std::span<const std::byte> bytes) { records.emplace_back(bytes.begin(), bytes.end()); }
  void event(const skep_event& event) {
    lost += event.lost;
    if (event.lost == 0) cpus.push_back(event.cpu);
  }
};

TEST(Embed, ConsumersOfThisProcess) {
  auto kernel = Kernel::create({.no_jit = false, .cpus = 2, .trace = {}});
  ASSERT_TRUE(kernel) << kernel.error().what;
  auto object = kernel->load_file(events_object);
  ASSERT_TRUE(object) << object.error().what << object.error().log;
  auto ring = skep::embed::RingBuffer::open(*object->map("ring"));
  ASSERT_TRUE(ring) << ring.error().what;
  auto events = skep::embed::PerfBuffer::open(*object->map("events"), 1);
  ASSERT_TRUE(events) << events.error().what;
  EXPECT_FALSE(skep::embed::RingBuffer::open(*object->map("events")));
  EXPECT_FALSE(skep::embed::PerfBuffer::open(*object->map("ring")));
  EXPECT_FALSE(skep::embed::PerfBuffer::open(*object->map("events"), 3));
  events = skep::embed::PerfBuffer::open(*object->map("events"), 1);
  const auto program = *object->program("tell");
  Heard heard;
  const auto record = [&](std::span<const std::byte> bytes) { heard.record(bytes); };
  const auto event = [&](const skep_event& one) { heard.event(one); };
  EXPECT_EQ(*ring->poll(0, record), 0u);
  // A reader that waits is woken by a thread that runs the program.
  std::thread other([&] {
    auto worker = kernel->worker();
    Buffer buffer;
    std::array packets{buffer.packet(100)};
    EXPECT_TRUE(worker->run(program, packets));
  });
  EXPECT_EQ(*ring->poll(10000, record), 1u);
  EXPECT_EQ(*events->poll(10000, event), 1u);
  other.join();
  ASSERT_EQ(heard.records.size(), 1u);
  ASSERT_EQ(heard.records[0].size(), 8u);
  EXPECT_EQ(heard.records[0][0], std::byte{100});
  // Too many for a page: what is missing is counted.
  auto worker = kernel->worker();
  ASSERT_TRUE(worker);
  std::vector<Buffer> buffers(200);
  std::vector<skep_packet> packets;
  for (Buffer& buffer : buffers) packets.push_back(buffer.packet());
  ASSERT_TRUE(worker->run(program, packets));
  const auto first = events->consume(event);
  ASSERT_TRUE(first);
  EXPECT_EQ(heard.lost, 0u);
  ASSERT_TRUE(worker->run(program, std::span(packets).first(1)));
  EXPECT_EQ(*events->consume(event), 1u);
  EXPECT_EQ(heard.lost + *first, 200u);
  EXPECT_EQ(*ring->consume(record), 201u);
}

TEST(Embed, ConsumersOfADaemonsMaps) {
  skep::daemon::DaemonThread daemon;
  ASSERT_TRUE(daemon.start());
  auto remote = skep::client::RemoteKernel::connect({daemon.directory(), {}});
  ASSERT_TRUE(remote) << remote.error().what;
  const auto spec = skep::loader::open_object(events_object);
  ASSERT_TRUE(spec) << spec.error().what;
  const auto loaded = skep::loader::load(*spec, **remote, {});
  ASSERT_TRUE(loaded) << loaded.error().what;
  uint32_t events_id = 0;
  for (const auto& map : loaded->maps) {
    if (map.name == "events") events_id = (*remote)->map_info(map.handle.fd())->id;
    if (map.name != "ring") continue;
    ASSERT_TRUE((*remote)->obj_pin(map.handle.fd(), skep::ObjectKind::map, "/sys/fs/bpf/ring"));
  }

  auto kernel = Kernel::connect(daemon.directory());
  ASSERT_TRUE(kernel) << kernel.error().what;
  EXPECT_EQ(kernel->load_file(events_object).error().code, 0);
  EXPECT_NE(kernel->load_file(events_object).error().what.find("kernel of this process"), std::string::npos);
  EXPECT_FALSE(kernel->worker());
  EXPECT_FALSE(kernel->open_map("/sys/fs/bpf/nosuch"));
  auto ring_map = kernel->open_map("/sys/fs/bpf/ring");
  ASSERT_TRUE(ring_map) << ring_map.error().what;
  auto events_map = kernel->open_map(events_id);
  ASSERT_TRUE(events_map) << events_map.error().what;
  auto ring = skep::embed::RingBuffer::open(*ring_map);
  ASSERT_TRUE(ring) << ring.error().what;
  auto events = skep::embed::PerfBuffer::open(*events_map);
  ASSERT_TRUE(events) << events.error().what;
  skep::TestRunSpec run;
  run.data_in.assign(80, std::byte{1});
  run.repeat = 5;
  ASSERT_TRUE((*remote)->prog_test_run(loaded->programs[0].handle.fd(), run));
  Heard heard;
  EXPECT_EQ(*ring->poll(10000, [&](std::span<const std::byte> bytes) { heard.record(bytes); }), 5u);
  EXPECT_EQ(*events->poll(10000, [&](const skep_event& one) { heard.event(one); }), 5u);
  EXPECT_EQ(heard.records.at(4).at(0), std::byte{80});
  EXPECT_EQ(heard.lost, 0u);
  daemon.stop();
  EXPECT_EQ(events->poll(10000, [&](const skep_event&) {}).error().code, ENOTCONN);
  EXPECT_EQ(Kernel::connect("/nonexistent").has_value(), false);
}

// r0 = *(u32 *)(r1 + 0); *(u32 *)(r1 + 4) = r0; exit
constexpr std::array<unsigned char, 24> copies = {0x61, 0x10, 0, 0, 0,    0, 0, 0, 0x63, 0x01, 4, 0,
                                                  0,    0,    0, 0, 0x95, 0, 0, 0, 0,    0,    0, 0};
// r0 = *(u64 *)(r1 + 0); r0 += r2; exit
constexpr std::array<unsigned char, 24> adds_size = {0x79, 0x10, 0, 0, 0,    0, 0, 0, 0x0f, 0x20, 0, 0,
                                                     0,    0,    0, 0, 0x95, 0, 0, 0, 0,    0,    0, 0};

TEST(Embed, RunsBareInstructionsOnBothEngines) {
  for (const bool no_jit : {false, true}) {
    auto kernel = Kernel::create({.no_jit = no_jit, .cpus = 1, .trace = {}});
    ASSERT_TRUE(kernel) << kernel.error().what;
    auto worker = kernel->worker();
    ASSERT_TRUE(worker) << worker.error().what;
    std::array<std::byte, 8> memory{std::byte{7}, std::byte{1}};
    auto code = kernel->code(copies);
    ASSERT_TRUE(code) << code.error().what << code.error().log;
    auto r0 = worker->run(*code, memory);
    ASSERT_TRUE(r0) << r0.error().what;
    EXPECT_EQ(*r0, 0x107u);
    EXPECT_EQ(memory[4], std::byte{7});
    EXPECT_EQ(memory[5], std::byte{1});
    auto small = worker->run(*code, std::span(memory).first(4));
    ASSERT_FALSE(small);
    EXPECT_EQ(small.error().code, EINVAL);

    auto trusted = kernel->code_unverified(adds_size);
    ASSERT_TRUE(trusted) << trusted.error().what;
    std::array<std::byte, 16> more{std::byte{1}};
    r0 = worker->run(*trusted, more);
    ASSERT_TRUE(r0) << r0.error().what;
    EXPECT_EQ(*r0, 17u);
  }
}

TEST(Embed, RefusesWhatIsNoProgram) {
  auto kernel = Kernel::create({.no_jit = false, .cpus = 1, .trace = {}});
  ASSERT_TRUE(kernel) << kernel.error().what;
  auto refused = kernel->code(adds_size);  // R2 is not set in a program that is verified
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().log, ::testing::HasSubstr("R2 !read_ok"));
  const std::span all(copies);
  EXPECT_FALSE(kernel->code_unverified(all.first(20)));  // not whole instructions
  EXPECT_FALSE(kernel->code_unverified(all.first(16)));  // runs out of its end
  EXPECT_FALSE(kernel->code_unverified({}));
}

}  // namespace
