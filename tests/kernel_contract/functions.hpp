// The contract's part about helpers that work on memory, sockets and tasks: dynptrs, storage, casts, SYN
// cookies. Small programs with the results that Linux gives; the same table runs on every kernel.
#pragma once
#include "kernel_contract/packets.hpp"

namespace skep::contract {

/// Adds code piece by piece; registers 6 to 9 survive calls.
class Assembler {
 public:
  template <class... Parts>
  Assembler& operator()(const Parts&... parts) {
    (code::append(insns_, parts), ...);
    return *this;
  }
  [[nodiscard]] std::vector<isa::Insn> done() {
    code::append(insns_, code::exit());
    return insns_;
  }

 private:
  std::vector<isa::Insn> insns_;
};

constexpr s16 dynptr_at = -16;  ///< of the frame: the dynptr
constexpr s16 bytes_at = -32;   ///< 16 bytes to read to and write from

class FunctionContract : public PacketContract {
 protected:
  Handle values_ = {};

  /// A dynptr of `size` bytes of an array's value; R6: what bpf_dynptr_from_mem() said.
  Assembler with_dynptr(s32 size, s32 flags = 0) {
    using namespace code;
    values_ = map(map_spec(MapType::array, 4, 64, 1));
    Assembler a;
    a(make(0x7a, 10, 0, bytes_at, 0x01020304), make(0x7a, 10, 0, bytes_at + 8, 0x05060708),
      map_value(1, values_.fd()), mov(2, size), mov(3, flags), mov_reg(4, 10), add(4, dynptr_at), call(197),
      mov_reg(6, 0));
    return a;
  }
  static void read(Assembler& a, s32 offset, s32 len, s32 flags = 0) {
    using namespace code;
    a(mov_reg(1, 10), add(1, bytes_at), mov(2, len), mov_reg(3, 10), add(3, dynptr_at), mov(4, offset),
      mov(5, flags), call(201));
  }
  static void write(Assembler& a, s32 offset, s32 len, s32 flags = 0) {
    using namespace code;
    a(mov_reg(1, 10), add(1, dynptr_at), mov(2, offset), mov_reg(3, 10), add(3, bytes_at), mov(4, len),
      mov(5, flags), call(202));
  }
  s32 result_of(Assembler& a, ProgType type = ProgType::sched_cls) {
    const auto result = run_with(load_as(type, a.done()));
    EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().what);
    return result ? static_cast<s32>(result->retval) : INT32_MIN;
  }
};

}  // namespace skep::contract
