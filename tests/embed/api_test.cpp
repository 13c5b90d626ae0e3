#include <gtest/gtest.h>
#include <skep/skep.hpp>

#include <array>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

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

}  // namespace
