// The contract's part about helpers that work on memory, sockets and tasks: dynptrs, storage, casts, SYN
// cookies. Small programs with the results that Linux gives; the same table runs on every kernel.
#include "kernel_contract/functions.hpp"

#include <fstream>
#include <iterator>

#include "btf/btf.hpp"

namespace skep::contract {
namespace {

TEST_P(FunctionContract, DynptrsOfMemoryAreMadeUpToTheirSize) {
  using namespace code;
  for (const auto& [size, flags, want] :
       std::vector<std::array<s32, 3>>{{64, 0, 0}, {1, 0, 0}, {64, 1, -EINVAL}}) {
    Assembler a = with_dynptr(size, flags);
    a(mov_reg(0, 6));
    EXPECT_EQ(result_of(a), want) << size << " " << flags;
  }
}

TEST_P(FunctionContract, DynptrsAreReadAndWrittenWithinTheirBytes) {
  using namespace code;
  struct Case {
    s32 size, offset, len, flags, want;
  };
  for (const Case& c : std::vector<Case>{{64, 0, 16, 0, 0},
                                         {64, 48, 16, 0, 0},
                                         {64, 49, 16, 0, -E2BIG},
                                         {8, 0, 16, 0, -E2BIG},
                                         {64, -1, 16, 0, -E2BIG},
                                         {64, 0, 16, 1, -EINVAL},
                                         {64, 60, 16, 1, -E2BIG}}) {
    SCOPED_TRACE(testing::Message() << c.size << " " << c.offset << " " << c.len << " " << c.flags);
    Assembler w = with_dynptr(c.size);
    write(w, c.offset, c.len, c.flags);
    EXPECT_EQ(result_of(w), c.want) << "written";
    Assembler r = with_dynptr(c.size);
    read(r, c.offset, c.len, c.flags);
    EXPECT_EQ(result_of(r), c.flags != 0 ? -EINVAL : c.want) << "read";
  }
  Assembler none = with_dynptr(64, 1);
  write(none, 0, 4);
  EXPECT_EQ(result_of(none), -EINVAL) << "a dynptr of nothing";
  Assembler a = with_dynptr(64);
  write(a, 20, 8);
  a(make(0x7a, 10, 0, bytes_at, 0));
  read(a, 20, 8);
  a(load_w(0, 10, bytes_at));
  EXPECT_EQ(result_of(a), 0x01020304) << "what was written is read";
}

TEST_P(FunctionContract, DynptrsGiveTheirMemory) {
  using namespace code;
  for (const auto& [offset, len, want] :
       std::vector<std::array<s32, 3>>{{0, 64, 1}, {56, 8, 1}, {57, 8, 0}, {64, 8, 0}}) {
    Assembler a = with_dynptr(64);
    a(mov_reg(1, 10), add(1, dynptr_at), mov(2, offset), mov(3, len), call(203), jeq(0, 0, 1), mov(0, 1));
    EXPECT_EQ(result_of(a), want) << offset << " " << len;
  }
}

TEST_P(FunctionContract, ARunHasStorageOfItsControlGroup) {
  using namespace code;
  for (const MapType type : {MapType::cgroup_storage, MapType::percpu_cgroup_storage}) {
    const Handle storage = map(map_spec(type, 16, 16, 0));
    TestRunSpec spec;
    spec.data_in = ip4_frame();
    spec.repeat = 5;
    const Handle prog =
        load_as(ProgType::cgroup_skb,
                program(map_fd(1, storage.fd()), mov(2, 0), call(81), load_w(1, 0, 8), add(1, 1),
                        make(0x63, 0, 1, 8, 0), mov_reg(0, 1), make(0x57, 0, 0, 0, 7), jeq(0, 5, 2),
                        mov(0, 0), exit(), mov(0, 1), exit()));
    for (int i = 0; i < 2; ++i) {
      const auto result = kernel().prog_test_run(prog.fd(), spec);
      ASSERT_TRUE(result.has_value()) << result.error().what;
      EXPECT_EQ(result->retval, 1u) << "zeroes for each call, kept from run to run: the fifth sees 5";
    }
  }
}

/// R0 = helper(the packet's socket, R2..): -99 if there is none.
Assembler with_socket(bool full) {
  using namespace code;
  Assembler a;
  a(mov_reg(6, 1), load_dw(1, 1, 168), mov(0, -99), make(0x55, 1, 0, 1, 0), exit());
  if (full) a(call(95), mov_reg(1, 0), mov(0, -98), make(0x55, 1, 0, 1, 0), exit());
  a(mov_reg(7, 1));
  return a;
}

TEST_P(FunctionContract, ThePacketsSocketIsOfNoProtocol) {
  using namespace code;
  for (const s32 cast : {136, 137, 138, 139, 140, 178, 196}) {
    Assembler a = with_socket(cast == 196);
    a(call(cast), jeq(0, 0, 1), mov(0, 1));
    EXPECT_EQ(result_of(a), 0) << "helper " << cast;
  }
}

TEST_P(FunctionContract, SynCookiesOfWhatIsNoListenerAreRefused) {
  using namespace code;
  for (const s32 helper : {100, 110}) {
    Assembler a = with_socket(false);
    for (s16 at = -40; at < 0; at = static_cast<s16>(at + 8)) a(make(0x7a, 10, 0, at, 0));
    a(mov_reg(2, 10), add(2, -20), mov(3, 20), mov_reg(4, 10), add(4, -40), mov(5, 20), call(helper));
    EXPECT_EQ(result_of(a), -EINVAL) << helper;
  }
}

/// A program's two headers on its stack: 40 bytes of IP at -40, 24 of TCP at -64.
Assembler with_headers(s32 data_offset_words, bool mss_option) {
  using namespace code;
  Assembler a;
  for (s16 at = -64; at < 0; at = static_cast<s16>(at + 8)) a(make(0x7a, 10, 0, at, at));
  a(make(0x72, 10, 0, -64 + 12, data_offset_words << 4));
  if (mss_option) a(store_w_imm(10, -64 + 20, static_cast<s32>(0x78050402)));  // kind 2, length 4, 1400
  return a;
}

TEST_P(FunctionContract, RawSynCookiesHaveASizeAndAreTakenBack) {
  using namespace code;
  struct Case {
    s32 gen, check;
    s32 len, words;
    bool mss;
    s32 size;  ///< or the errno
  };
  for (const Case& c : std::vector<Case>{{204, 206, 20, 5, false, 536},
                                         {204, 206, 24, 6, true, 1300},
                                         {204, 206, 19, 5, false, -EINVAL},
                                         {204, 206, 24, 5, false, -EINVAL},
                                         {205, 207, 20, 5, false, 1220},
                                         {205, 207, 24, 6, true, 1220}}) {
    SCOPED_TRACE(testing::Message() << c.gen << " " << c.len << " " << c.words);
    const auto gen = [&] {
      Assembler a = with_headers(c.words, c.mss);
      a(mov_reg(1, 10), add(1, -40), mov_reg(2, 10), add(2, -64), mov(3, c.len), call(c.gen));
      return a;
    };
    Assembler size = gen();
    if (c.size > 0) size(make(0x77, 0, 0, 0, 32));
    EXPECT_EQ(result_of(size), c.size);
    if (c.size < 0) continue;
    // the answer's acknowledgement is the cookie and one, its sequence number one more than the first
    const auto check = [&](s32 off_by) {
      Assembler a = gen();
      a(mov_reg(3, 0), add(3, 1 + off_by), make(0xdc, 3, 0, 0, 32), make(0x63, 10, 3, -64 + 8, 0),
        load_w(4, 10, -64 + 4), make(0xdc, 4, 0, 0, 32), add(4, 1), make(0xdc, 4, 0, 0, 32),
        make(0x63, 10, 4, -64 + 4, 0), mov_reg(1, 10), add(1, -40), mov_reg(2, 10), add(2, -64),
        call(c.check));
      return a;
    };
    Assembler right = check(0), wrong = check(1 << 20);
    EXPECT_EQ(result_of(right), 0);
    EXPECT_EQ(result_of(wrong), -EACCES);
  }
}

TEST_P(FunctionContract, ProbesOfBadAddressesFailAndLeaveZeroes) {
  using namespace code;
  for (const s32 helper : {113, 115, 112, 114}) {
    SCOPED_TRACE(helper);
    const bool kernel_memory = helper == 113 || helper == 115;
    const auto probe = [&](s32 at, bool result) {
      Assembler a;
      a(make(0x7a, 10, 0, -8, -1), mov_reg(1, 10), add(1, -8), mov(2, 8), mov(3, at), call(helper));
      if (!result) a(load_w(0, 10, -8));
      return result_of(a);
    };
    EXPECT_EQ(probe(16, true), kernel_memory ? -ERANGE : -EFAULT);
    EXPECT_EQ(probe(16, false), 0);
    if (!kernel_memory) continue;
    Assembler a;  // its own stack, which ends in "ab", NUL
    a(make(0x7a, 10, 0, -16, 0x6261), make(0x7a, 10, 0, -8, -1), mov_reg(1, 10), add(1, -8), mov(2, 8),
      mov_reg(3, 10), add(3, -16), call(helper));
    EXPECT_EQ(result_of(a), helper == 115 ? 3 : 0);
  }
}

TEST_P(FunctionContract, CongestionIsMarkedBehindVlanTagsToo) {
  using namespace code;
  // The tag stands where the network header is thought to be: it is the tag's own bytes that are marked.
  TestRunSpec spec;
  spec.data_in = ip4_frame();
  const std::array tag = {std::byte{0x81}, std::byte{0}, std::byte{0}, std::byte{1}};
  spec.data_in.insert(spec.data_in.begin() + 12, tag.begin(), tag.end());
  spec.data_out_size = 4096;
  const auto result =
      kernel().prog_test_run(load_as(ProgType::sched_cls, program(call(97), exit())).fd(), spec);
  ASSERT_TRUE(result.has_value()) << result.error().what;
  EXPECT_EQ(result->retval, 1u);
  EXPECT_EQ(result->data_out.at(15), std::byte{3}) << "1, ECT(1), became CE";
}

TEST_P(FunctionContract, RoutesAreLookedUpOnlyWhereTheInterfaceForwards) {
  using namespace code;
  const auto looked_up = [&](s32 flags) {  // struct bpf_fib_lookup: family 2, ifindex 1, to 8.8.8.8
    Assembler a;
    for (s16 at = -64; at < 0; at = static_cast<s16>(at + 8)) a(make(0x7a, 10, 0, at, 0));
    a(store_w_imm(10, -64, 2), store_w_imm(10, -64 + 8, 1), store_w_imm(10, -64 + 32, 0x08080808),
      mov_reg(2, 10), add(2, -64), mov(3, 64), mov(4, flags), call(69));
    return result_of(a);
  };
  constexpr s32 fwd_disabled = 5, direct = 1, by_table = 8;
  if (looked_up(0) != fwd_disabled) GTEST_SKIP() << "the loopback forwards here";
  for (const s32 flags : {direct, by_table, direct | by_table}) EXPECT_EQ(looked_up(flags), fwd_disabled);
  EXPECT_EQ(looked_up(0x1000), -EINVAL);
}

/// The machine's struct bpf_map: where a member is; nothing without the kernel's types.
std::optional<s16> bpf_map_member(std::string_view name) {
  std::ifstream file("/sys/kernel/btf/vmlinux", std::ios::binary);
  const std::vector<char> text(std::istreambuf_iterator<char>(file), {});
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());  // NOLINT: bytes
  const auto types = btf::Btf::parse({bytes, bytes + text.size()}, nullptr, btf::Checks::structure);
  if (text.empty() || !types) return std::nullopt;
  for (const btf::Entry& entry : types->entries(types->type(types->find(btf::Kind::struct_, "bpf_map"))))
    if (types->string(entry.name_off) == name) return static_cast<s16>(entry.bit_offset / 8);
  return std::nullopt;
}

TEST_P(FunctionContract, ProgramsReadAMapsNumbers) {
  using namespace code;
  if (!bpf_map_member("id")) GTEST_SKIP() << "no kernel types in /sys/kernel/btf/vmlinux";
  const Handle values = map(map_spec(MapType::hash, 12, 40, 77, uapi::F_NO_PREALLOC));
  const auto id = kernel().map_info(values.fd());
  ASSERT_TRUE(id.has_value());
  for (const auto& [name, want] : std::vector<std::pair<std::string_view, u32>>{{"map_type", 1},
                                                                                {"key_size", 12},
                                                                                {"value_size", 40},
                                                                                {"max_entries", 77},
                                                                                {"map_flags", 1},
                                                                                {"id", id->id}}) {
    Assembler a;
    a(map_fd(1, values.fd()), load_w(0, 1, *bpf_map_member(name)));
    EXPECT_EQ(static_cast<u32>(result_of(a)), want) << name;
  }
}

TEST_P(FunctionContract, TheCurrentTaskIsNotReadableByMistake) {
  using namespace code;
  Assembler task;
  task(call(35), jeq(0, 0, 1), mov(0, 1));
  EXPECT_EQ(result_of(task), 1);
  Assembler cookie;
  cookie(call(122), jeq(0, 0, 1), mov(0, 1));
  EXPECT_EQ(result_of(cookie), 1) << "the network namespace's cookie";
  Assembler group;
  group(mov(1, -1), call(123));
  EXPECT_EQ(result_of(group), 0) << "an ancestor below the root";
}

}  // namespace
}  // namespace skep::contract
