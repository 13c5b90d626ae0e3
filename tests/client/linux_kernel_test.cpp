// LinuxKernel against the machine's own bpf(2); each test skips, with the reason, where that is refused.
#include "client/linux_kernel.hpp"

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <thread>

namespace skep::client {
namespace {

MapSpec array_spec(u32 value_size = 8, u32 entries = 4, u32 flags = 0) {
  MapSpec spec;
  spec.type = MapType::array;
  spec.key_size = 4;
  spec.value_size = value_size;
  spec.max_entries = entries;
  spec.flags = flags;
  spec.name = "numbers";
  return spec;
}

/// r0 = 2 (XDP_PASS); exit
ProgramSpec pass_spec() {
  ProgramSpec spec;
  spec.type = ProgType::xdp;
  spec.name = "pass";
  spec.license = "GPL";
  spec.insns = {{.code = 0xb7, .imm = 2}, {.code = 0x95}};
  return spec;
}

class LinuxKernelTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto map = kernel_.map_create(array_spec());
    if (!map) GTEST_SKIP() << "bpf(2) is not to be had here: " << map.error().what;
  }
  LinuxKernel linux_;
  Kernel& kernel_ = linux_;
};

TEST_F(LinuxKernelTest, StoresAndLooksUpAnElement) {
  auto map = kernel_.map_create(array_spec());
  ASSERT_TRUE(map);
  const u32 key = 1;
  const u64 value = 42;
  ASSERT_TRUE(kernel_.map_update_elem(map->fd(), bytes_of(key), bytes_of(value), uapi::ANY));
  u64 back = 0;
  ASSERT_TRUE(kernel_.map_lookup_elem(map->fd(), bytes_of(key), mut_bytes_of(back)));
  EXPECT_EQ(back, 42u);
}

TEST_F(LinuxKernelTest, RefusesBuffersOfAnotherLengthThanTheMaps) {
  auto map = kernel_.map_create(array_spec());
  ASSERT_TRUE(map);
  const u32 key = 1;
  u32 small = 0;
  EXPECT_EQ(kernel_.map_lookup_elem(map->fd(), bytes_of(key), mut_bytes_of(small)).error().code, EINVAL);
  const u16 short_key = 0;
  u64 value = 0;
  EXPECT_EQ(kernel_.map_lookup_elem(map->fd(), bytes_of(short_key), mut_bytes_of(value)).error().code,
            EINVAL);
}

TEST_F(LinuxKernelTest, NoticesThatADescriptorNumberMeansAnotherMapNow) {
  auto first = kernel_.map_create(array_spec(8));
  const int fd = first->fd();
  const u32 key = 0;
  u64 value = 0;
  ASSERT_TRUE(kernel_.map_lookup_elem(fd, bytes_of(key), mut_bytes_of(value)));
  first->reset();
  auto second = kernel_.map_create(array_spec(16));
  ASSERT_EQ(second->fd(), fd);
  EXPECT_EQ(kernel_.map_lookup_elem(fd, bytes_of(key), mut_bytes_of(value)).error().code, EINVAL);
}

TEST_F(LinuxKernelTest, WalksKeysAndBatches) {
  auto map = kernel_.map_create(array_spec());
  u32 key = 0, next = 0;
  ASSERT_TRUE(kernel_.map_get_next_key(map->fd(), {}, mut_bytes_of(next)));
  EXPECT_EQ(next, 0u);
  key = 3;
  EXPECT_EQ(kernel_.map_get_next_key(map->fd(), bytes_of(key), mut_bytes_of(next)).error().code, ENOENT);
  std::array<u32, 4> keys{};
  std::array<u64, 4> values{};
  u32 position = 0;
  const auto batch =
      kernel_.map_lookup_batch(map->fd(), {}, mut_bytes_of(position), std::as_writable_bytes(std::span(keys)),
                               std::as_writable_bytes(std::span(values)), 4, 0, false);
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->count, 4u);
  EXPECT_EQ(keys[3], 3u);
}

TEST_F(LinuxKernelTest, LoadsAProgramAndTellsAboutIt) {
  auto prog = kernel_.prog_load(pass_spec());
  ASSERT_TRUE(prog) << prog.error().what;
  const auto info = kernel_.prog_info(prog->fd());
  ASSERT_TRUE(info) << info.error().what;
  EXPECT_EQ(info->name, "pass");
  EXPECT_EQ(info->type, ProgType::xdp);
  EXPECT_GT(info->id, 0u);
  EXPECT_EQ(info->xlated_len, info->xlated.size() * 8);
  EXPECT_GT(info->bytes_memlock, 0u);
  EXPECT_TRUE(info->gpl_compatible);
  auto again = kernel_.get_fd_by_id(ObjectKind::prog, info->id);
  ASSERT_TRUE(again);
  EXPECT_EQ(kernel_.prog_info(again->fd())->tag, info->tag);
}

TEST_F(LinuxKernelTest, GivesTheVerifiersLogOfARefusedProgram) {
  ProgramSpec spec = pass_spec();
  spec.insns = {{.code = 0x95}};  // exit without r0
  Log log;
  const auto prog = kernel_.prog_load(spec, {.level = 1, .size = 65536}, &log);
  ASSERT_FALSE(prog);
  EXPECT_EQ(prog.error().code, EACCES);
  EXPECT_NE(log.text.find("R0 !read_ok"), std::string::npos) << log.text;
}

TEST_F(LinuxKernelTest, RunsAProgramOnAPacket) {
  auto prog = kernel_.prog_load(pass_spec());
  TestRunSpec run;
  run.data_in.resize(64);
  run.data_out_size = 128;
  run.repeat = 1;
  const auto result = kernel_.prog_test_run(prog->fd(), run);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(result->retval, 2u);
  EXPECT_EQ(result->data_out.size(), 64u);
}

TEST_F(LinuxKernelTest, FrozenMapsSaySoAndRefuseWrites) {
  auto map = kernel_.map_create(array_spec());
  EXPECT_FALSE(kernel_.map_info(map->fd())->frozen);
  ASSERT_TRUE(kernel_.map_freeze(map->fd()));
  EXPECT_TRUE(kernel_.map_info(map->fd())->frozen);
  const u32 key = 0;
  const u64 value = 1;
  EXPECT_EQ(kernel_.map_update_elem(map->fd(), bytes_of(key), bytes_of(value), 0).error().code, EPERM);
}

TEST_F(LinuxKernelTest, SharesTheMemoryOfAnMmapableArray) {
  auto map = kernel_.map_create(array_spec(8, 4, uapi::F_MMAPABLE));
  const auto memory = kernel_.map_memory(map->fd());
  ASSERT_TRUE(memory) << memory.error().what;
  auto view = Mapping::map(memory->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd.get(),
                           static_cast<s64>(memory->offset), "the map");
  ASSERT_TRUE(view);
  store<u64>(view->data() + 2 * memory->stride, 77);
  const u32 key = 2;
  u64 value = 0;
  ASSERT_TRUE(kernel_.map_lookup_elem(map->fd(), bytes_of(key), mut_bytes_of(value)));
  EXPECT_EQ(value, 77u);
}

/// Runs `body` on a thread with a network (and mount) namespace of its own.
void in_own_namespaces(const std::function<void()>& body) {
  std::string refused;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
      refused = errno_text(errno);
      return;
    }
    ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    body();
  }).join();
  if (!refused.empty()) GTEST_SKIP() << "no namespaces of our own: " << refused;
}

TEST_F(LinuxKernelTest, AttachesXdpAndKeepsTheKernelsWords) {
  in_own_namespaces([&] {
    const u32 lo = ::if_nametoindex("lo");
    auto prog = kernel_.prog_load(pass_spec());
    XdpAttach attach{.ifindex = lo, .prog_fd = prog->fd(), .flags = uapi::XDP_FLAGS_UPDATE_IF_NOEXIST};
    const auto done = kernel_.xdp_attach(attach);
    ASSERT_TRUE(done) << done.error().what;
    const auto found = kernel_.xdp_query();
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 1u);
    EXPECT_EQ((*found)[0].ifname, "lo");
    EXPECT_EQ((*found)[0].prog_id, kernel_.prog_info(prog->fd())->id);
    EXPECT_EQ((*found)[0].mode, XdpMode::generic);
    const auto again = kernel_.xdp_attach(attach);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error(), (Error{EBUSY, "XDP program already attached"}));
    ASSERT_TRUE(kernel_.xdp_attach({.ifindex = lo}));
    EXPECT_TRUE(kernel_.xdp_query()->empty());
  });
}

TEST_F(LinuxKernelTest, AnXdpLinkHoldsTheProgramOnTheInterface) {
  in_own_namespaces([&] {
    const u32 lo = ::if_nametoindex("lo");
    auto prog = kernel_.prog_load(pass_spec());
    auto link =
        kernel_.link_create({.prog_fd = prog->fd(), .target_ifindex = lo, .attach_type = AttachType::xdp});
    ASSERT_TRUE(link) << link.error().what;
    const auto info = kernel_.link_info(link->fd());
    ASSERT_TRUE(info);
    EXPECT_EQ(info->type, LinkType::xdp);
    EXPECT_EQ(info->ifindex, lo);
    link->reset();
    EXPECT_TRUE(kernel_.xdp_query()->empty());
  });
}

TEST_F(LinuxKernelTest, PinsAndGetsByPath) {
  in_own_namespaces([&] {
    ASSERT_EQ(::mount("bpf", "/sys/fs/bpf", "bpf", 0, nullptr), 0);
    auto prog = kernel_.prog_load(pass_spec());
    ASSERT_TRUE(kernel_.obj_pin(prog->fd(), ObjectKind::prog, "/sys/fs/bpf/p"));
    EXPECT_EQ(kernel_.obj_pin(prog->fd(), ObjectKind::prog, "/sys/fs/bpf/p").error().code, EEXIST);
    auto got = kernel_.obj_get("/sys/fs/bpf/p");
    ASSERT_TRUE(got);
    EXPECT_EQ(got->kind(), ObjectKind::prog);
    EXPECT_EQ(kernel_.obj_get("/sys/fs/bpf/none").error().code, ENOENT);
    EXPECT_EQ(kernel_.obj_get("/etc/hostname").error().code, EACCES);
  });
}

TEST(CountCpus, CountsUpToTheHighestNumber) {
  EXPECT_EQ(*count_cpus("0\n"), 1u);
  EXPECT_EQ(*count_cpus("0-3"), 4u);
  EXPECT_EQ(*count_cpus("0-1,4-7\n"), 8u);
  for (const char* bad : {"", "\n", "x", "3-1", "0-", "-1", "0-99999999"})
    EXPECT_FALSE(count_cpus(bad)) << bad;
}

}  // namespace
}  // namespace skep::client
