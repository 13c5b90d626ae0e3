// The contract's part about program arrays and tail calls.
#include "kernel_contract/contract.hpp"

namespace skep::contract {
namespace {

/// Leaves for slot `index` of the array; returns 1 where that does not happen.
std::vector<isa::Insn> jump_through(int array, s32 index) {
  using namespace code;
  return program(map_fd(2, array), mov(3, index), call(12), mov(0, 1), exit());
}
std::vector<isa::Insn> returns(s32 value) { return code::program(code::mov(0, value), code::exit()); }

TEST_P(KernelContract, TailCallsLeaveForTheProgramInTheSlot) {
  const Handle array = map(map_spec(MapType::prog_array, 4, 4, 3));
  const Handle from = load(xdp(jump_through(array.fd(), 1), "from"));
  const Handle two = load(xdp(returns(2), "two")), three = load(xdp(returns(3), "three"));
  const auto verdict = [&] { return run(from)->retval; };
  const auto put = [&](u32 index, int fd, u64 flags = uapi::ANY) {
    return error_of(kernel().map_update_elem(array.fd(), bytes_of(index), bytes_of(fd), flags));
  };
  EXPECT_EQ(verdict(), 1u) << "an empty slot is passed over";
  EXPECT_EQ(put(1, two.fd()), 0);
  EXPECT_EQ(verdict(), 2u);
  EXPECT_EQ(put(1, three.fd()), 0);
  EXPECT_EQ(verdict(), 3u) << "the slot is read at each call";

  u32 key = 1, value = 0;
  EXPECT_EQ(error_of(kernel().map_lookup_elem(array.fd(), bytes_of(key), mut_bytes_of(value), 0)), 0);
  EXPECT_EQ(value, kernel().prog_info(three.fd())->id) << "user space reads ids";
  EXPECT_EQ(error_of(kernel().map_delete_elem(array.fd(), bytes_of(key))), 0);
  EXPECT_EQ(error_of(kernel().map_delete_elem(array.fd(), bytes_of(key))), ENOENT);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(array.fd(), bytes_of(key), mut_bytes_of(value), 0)), ENOENT);
  EXPECT_EQ(verdict(), 1u);

  EXPECT_EQ(put(1, two.fd(), uapi::NOEXIST), EINVAL);
  EXPECT_EQ(put(1, two.fd(), uapi::EXIST), EINVAL);
  EXPECT_EQ(put(3, two.fd()), E2BIG);
  EXPECT_EQ(put(1, 12345), EBADF);
  EXPECT_EQ(put(1, array.fd()), EINVAL) << "a map is no program";
  key = 3;
  EXPECT_EQ(error_of(kernel().map_delete_elem(array.fd(), bytes_of(key))), E2BIG);
  EXPECT_EQ(error_of(kernel().map_lookup_elem(array.fd(), bytes_of(key), mut_bytes_of(value), 0)), ENOENT);
}

TEST_P(KernelContract, TailCallsTakeTheIndexFromARegister) {
  using namespace code;
  const Handle array = map(map_spec(MapType::prog_array, 4, 4, 4));
  const Handle which = map(map_spec(MapType::array, 4, 8, 1));
  const Handle from = load(xdp(program(map_value(6, which.fd()), load_dw(3, 6, 0), map_fd(2, array.fd()),
                                       call(12), mov(0, 1), exit())));
  const Handle two = load(xdp(returns(2))), three = load(xdp(returns(3)));
  const auto put = [&](u32 index, const Handle& prog) {
    const int fd = prog.fd();
    ASSERT_EQ(error_of(kernel().map_update_elem(array.fd(), bytes_of(index), bytes_of(fd), 0)), 0);
  };
  put(0, two);
  put(3, three);
  const auto verdict = [&](u64 index) {
    const u32 zero = 0;
    EXPECT_EQ(error_of(kernel().map_update_elem(which.fd(), bytes_of(zero), bytes_of(index), 0)), 0);
    return run(from)->retval;
  };
  EXPECT_EQ(verdict(0), 2u);
  EXPECT_EQ(verdict(1), 1u);
  EXPECT_EQ(verdict(3), 3u);
  EXPECT_EQ(verdict(4), 1u);
  EXPECT_EQ(verdict(0xffffffff), 1u);
  EXPECT_EQ(verdict(0x100000003), 3u) << "the index is the lower half";
}

TEST_P(KernelContract, AtMost33TailCallsOfARun) {
  using namespace code;
  const Handle array = map(map_spec(MapType::prog_array, 4, 4, 1));
  const Handle count = map(map_spec(MapType::array, 4, 8, 1));
  const Handle self =
      load(xdp(program(map_value(6, count.fd()), load_dw(7, 6, 0), add(7, 1), store_dw(6, 0, 7),
                       map_fd(2, array.fd()), mov(3, 0), call(12), mov(0, 2), exit())));
  const u32 zero = 0;
  const int fd = self.fd();
  ASSERT_EQ(error_of(kernel().map_update_elem(array.fd(), bytes_of(zero), bytes_of(fd), 0)), 0);
  EXPECT_EQ(run(self)->retval, 2u);
  u64 runs = 0;
  ASSERT_EQ(error_of(kernel().map_lookup_elem(count.fd(), bytes_of(zero), mut_bytes_of(runs), 0)), 0);
  EXPECT_EQ(runs, 34u);
}

TEST_P(KernelContract, AProgramArrayIsForProgramsOfOneKind) {
  const Handle array = map(map_spec(MapType::prog_array, 4, 4, 2));
  EXPECT_FALSE(kernel().map_info(array.fd())->owner_prog_type.has_value());
  const Handle user = load(xdp(jump_through(array.fd(), 0)));
  EXPECT_EQ(kernel().map_info(array.fd())->owner_prog_type, ProgType::xdp);

  ProgramSpec other = xdp(jump_through(array.fd(), 0), "other");
  other.type = ProgType::raw_tracepoint;
  EXPECT_EQ(error_of(kernel().prog_load(other)), EINVAL);
  ProgramSpec frags = xdp(returns(2), "frags");
  frags.flags = uapi::F_XDP_HAS_FRAGS;
  const Handle with_frags = load(frags);
  other.insns = returns(0);
  const Handle raw = load(other);
  const u32 zero = 0;
  for (const int fd : {raw.fd(), with_frags.fd()})
    EXPECT_EQ(error_of(kernel().map_update_elem(array.fd(), bytes_of(zero), bytes_of(fd), 0)), EINVAL);
}

TEST_P(KernelContract, AProgramArrayIsEmptiedWithItsLastDescriptor) {
  Handle array = map(map_spec(MapType::prog_array, 4, 4, 2));
  Handle from = load(xdp(jump_through(array.fd(), 0)));
  Handle two = load(xdp(returns(2)));
  const u32 zero = 0, one = 1;
  const int fd = two.fd(), self = from.fd();
  ASSERT_EQ(error_of(kernel().map_update_elem(array.fd(), bytes_of(zero), bytes_of(fd), 0)), 0);
  // An array and a program that keep each other.
  ASSERT_EQ(error_of(kernel().map_update_elem(array.fd(), bytes_of(one), bytes_of(self), 0)), 0);
  const u32 id = kernel().prog_info(two.fd())->id, from_id = kernel().prog_info(from.fd())->id;
  const u32 array_id = kernel().map_info(array.fd())->id;
  two.reset();
  EXPECT_EQ(run(from)->retval, 2u) << "the slot keeps the program";
  EXPECT_EQ(error_of(kernel().get_fd_by_id(ObjectKind::prog, id)), 0);
  Handle again = std::move(*kernel().get_fd_by_id(ObjectKind::map, array_id));
  array.reset();
  EXPECT_EQ(run(from)->retval, 2u) << "another descriptor";
  again.reset();
  EXPECT_TRUE(gone(ObjectKind::prog, id));
  EXPECT_EQ(run(from)->retval, 1u);
  from.reset();
  EXPECT_TRUE(gone(ObjectKind::prog, from_id));
  EXPECT_TRUE(gone(ObjectKind::map, array_id));
}

TEST_P(KernelContract, ProgramArraysHoldDescriptorsOnly) {
  const auto error = [&](u32 key, u32 value, u32 entries, u32 flags = 0) {
    return error_of(kernel().map_create(map_spec(MapType::prog_array, key, value, entries, flags)));
  };
  EXPECT_EQ(error(4, 4, 1), 0);
  EXPECT_EQ(error(4, 8, 1), EINVAL);
  EXPECT_EQ(error(8, 4, 1), EINVAL);
  EXPECT_EQ(error(4, 4, 0), EINVAL);
  EXPECT_EQ(error(4, 4, 1, uapi::F_RDONLY_PROG), EINVAL);
  EXPECT_EQ(error(4, 4, 1, uapi::F_MMAPABLE), EINVAL);
  EXPECT_EQ(error(4, 4, 1, uapi::F_RDONLY), 0);
  // As the loader reads them, by their keys.
  const Handle array = map(map_spec(MapType::prog_array, 4, 4, 2));
  u32 next = 9;
  EXPECT_EQ(error_of(kernel().map_get_next_key(array.fd(), {}, mut_bytes_of(next))), 0);
  EXPECT_EQ(next, 0u);
  const u32 last = 1;
  EXPECT_EQ(error_of(kernel().map_get_next_key(array.fd(), bytes_of(last), mut_bytes_of(next))), ENOENT);
}

}  // namespace
}  // namespace skep::contract
