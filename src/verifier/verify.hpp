// The verifier: a pure function from a program and facts about its surroundings to Verified or Rejection.
// The rules, messages and errnos are Linux 6.18's (kernel/bpf/verifier.c, bpf_check()). It opens no file,
// asks no clock and keeps nothing between calls.
#pragma once
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "btf/btf.hpp"
#include "btf/kernel_btf.hpp"
#include "helpers/contract.hpp"
#include "isa/insn.hpp"
#include "kernel/uapi.hpp"
#include "maps/facts.hpp"

namespace skep::verifier {

/// A descriptor that stands in an instruction, and the map behind it.
struct MapBinding {
  int fd = -1;
  const maps::MapFacts* facts = nullptr;
};

struct FuncInfo {
  u32 insn_off = 0;
  u32 type_id = 0;
};
struct LineInfo {
  u32 insn_off = 0;
  u32 file_name_off = 0;
  u32 line_off = 0;
  u32 line_col = 0;
};

/// The helper `id` as programs of this type may call it, or nullptr (unknown, or not allowed to the type).
using HelperLookup = const helpers::Contract* (*)(ProgType type, AttachType attach, u32 id);
/// The UAPI name of helper `id` ("bpf_map_lookup_elem"), known whether or not implemented; "unknown" if none.
using HelperName = std::string_view (*)(u32 id);

/// A function of a loaded program, as others that are attached to it or replace it see it (kernel: what
/// bpf_func_info_aux and the subprograms' bpf_prog_aux say).
struct TargetFunction {
  bool unreliable = false;  ///< its BTF does not say what it is called with
  bool changes_pkt_data = false;
  bool might_sleep = false;
  bool exception_callback = false;
};
/// The loaded program that the program is attached to, or whose function it replaces (attach_prog_fd).
struct TargetProgram {
  ProgType type = ProgType::unspec;
  AttachType expected_attach_type{};
  ProgType extended_type = ProgType::unspec;  ///< of an extension: the type of what it replaces
  const btf::Btf* btf = nullptr;
  std::span<const FuncInfo> func_info;
  std::span<const TargetFunction> functions;  ///< one for each of `func_info`
  bool attached_to_tracing = false;           ///< it is a tracing program on a tracing program itself
};

struct Input {
  ProgType type = ProgType::unspec;
  AttachType expected_attach_type{};
  u32 prog_flags = 0;
  bool gpl_compatible = false;
  std::span<const isa::Insn> insns;
  std::span<const MapBinding> maps;
  std::span<const int> fd_array;
  const btf::Btf* btf = nullptr;
  std::span<const FuncInfo> func_info;
  std::span<const LineInfo> line_info;
  HelperLookup helper = nullptr;
  HelperName helper_name = nullptr;
  const btf::KernelBtf* vmlinux = nullptr;  ///< the kernel's types; parsed only if the program needs them
  u32 attach_btf_id = 0;  ///< the function or tracepoint type, in `vmlinux` or `target`'s BTF
  const TargetProgram* target = nullptr;
  bool is_extension = false;  ///< set by verify(): `type` and hook are those of the program that it extends
  u64 memory_limit = u64{4} << 30;  ///< bytes of states; a program that needs more is refused: ENOMEM
  u32 cpu_count = 1;                ///< possible CPUs: what bpf_get_smp_processor_id() stays below
};

struct LogOptions {
  u32 level = 0;
  u32 size = 0;
};
struct LogOutput {
  std::string text;       ///< what the caller's buffer would hold (rotating or fixed), without the NUL
  u32 true_size = 0;      ///< NUL included
  bool overflow = false;  ///< the load's result is ENOSPC
};

/// Why a program was refused. `code` is the errno of BPF_PROG_LOAD.
struct Rejection {
  int code = 0;
  std::string message;  ///< the last message line
  u32 insn = 0;         ///< where the walk stood
  LogOutput log;
  u32 processed_insns = 0;
  u64 memory = 0;  ///< bytes that its states took at most
};

/// What the walk learnt of each instruction; the fixups need it (kernel: struct bpf_insn_aux_data).
struct InsnFacts {
  bool seen = false;
  bool nospec = false;
  u8 pointer_kind = 0;          ///< PtrKind of the base register of a load, store
  s32 map_index = -1;           ///< into Verified::used_maps: of ld_imm64, or of R1 of a map helper call
  u32 map_off = 0;              ///< ld_imm64 src=2: offset into the value
  bool call_map_known = true;   ///< R1 of the helper call was the same map on every path
  bool call_map_inner = false;  ///< not that of map_index, but one inside it
  s64 constant_key = -1;        ///< key of an array lookup, when it is the same constant on every path
  bool zext_dst = false;
  u32 ctx_field_size = 0;  ///< narrow context loads (convert_ctx_access)
  /// Of a load through a pointer to a struct of the kernel: its BTF id and the offset there; 0: none;
  /// many_kernel_types: not the same on every path.
  u32 kernel_type = 0;
  s32 kernel_off = 0;
  bool may_fault = false;        ///< a load through a pointer that may be any number (kernel: BPF_PROBE_MEM)
  bool needs_zero_check = true;  ///< a division whose divisor may be 0
  bool fastcall_pattern = false;
  u8 fastcall_spills = 0;
  u32 loop_inline_flags = 0;
  /// Of the call of a kernel function on an allocated object (kernel: kptr_struct_meta, obj_new_size,
  /// insert_off): its struct, in which BTF; nullptr: not such a call.
  const btf::Btf* object_btf = nullptr;
  u32 object_type = 0;
  u32 object_size = 0;
  u32 node_offset = 0;
  bool objects_differ = false;  ///< not the same on every path
};
inline constexpr u32 many_kernel_types = ~0u;
enum class PtrKind : u8 { none, ctx, packet, stack, map_value, mem, btf_id, sock, tcp_sock, xdp_sock };

struct Subprog {
  u32 start = 0;        ///< first instruction
  u32 stack_depth = 0;  ///< bytes, rounded up to 8
  bool is_global = false;
  bool has_tail_call = false;
  bool is_callback = false;
  TargetFunction as_target;
  std::string name;
};

/// A program that passed. Only verify() makes one; fixup::translate takes nothing else.
class Verified {
 public:
  [[nodiscard]] const Input& input() const { return input_; }
  [[nodiscard]] const std::vector<isa::Insn>& insns() const { return insns_; }
  [[nodiscard]] const std::vector<InsnFacts>& facts() const { return facts_; }
  [[nodiscard]] const std::vector<Subprog>& subprogs() const { return subprogs_; }
  [[nodiscard]] const std::vector<const maps::MapFacts*>& used_maps() const { return used_maps_; }
  [[nodiscard]] u32 processed_insns() const { return processed_; }
  [[nodiscard]] const LogOutput& log() const { return log_; }
  /// Bytes that its states took at most.
  [[nodiscard]] u64 memory() const { return memory_; }
  /// It calls bpf_throw() (kernel: env->seen_exception).
  [[nodiscard]] bool throws() const { return throws_; }
  /// Bytes of context that instructions and helpers reach (kernel: aux->max_ctx_offset).
  [[nodiscard]] u32 max_ctx_offset() const { return max_ctx_offset_; }
  /// The first instruction of the program's own exception callback; 0: it has none.
  [[nodiscard]] u32 exception_callback() const { return exception_callback_; }
  /// It stores into its packet (kernel: env->seen_direct_write).
  [[nodiscard]] bool writes_packet() const { return writes_packet_; }

 private:
  friend class Builder;  // inside the room
  Verified() = default;
  Input input_;
  std::vector<isa::Insn> insns_;  ///< as submitted, map descriptors still in place
  std::vector<InsnFacts> facts_;
  std::vector<Subprog> subprogs_;
  std::vector<const maps::MapFacts*> used_maps_;
  LogOutput log_;
  u32 processed_ = 0;
  u64 memory_ = 0;
  bool writes_packet_ = false;
  bool throws_ = false;
  u32 max_ctx_offset_ = 0;
  u32 exception_callback_ = 0;
};

/// Verifies. `input` and all it points to must outlive the Verified. Never throws, never hangs: at most
/// 1,000,000 processed instructions.
[[nodiscard]] std::expected<Verified, Rejection> verify(const Input& input, const LogOptions& log = {});

}  // namespace skep::verifier
