// What bpf(2) hands out descriptors for, besides maps (maps/map.hpp): BTF, programs, links. Objects are
// shared by handles, pins, links and other objects; one goes when the last of them does.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "btf/btf.hpp"
#include "btf/kernel_btf.hpp"
#include "helpers/async.hpp"
#include "helpers/run_context.hpp"
#include "jit/compile.hpp"
#include "kernel/kernel.hpp"
#include "maps/map.hpp"
#include "maps/program_ref.hpp"
#include "vm/interpreter.hpp"

namespace skep::runtime {

struct BtfObject {
  u32 id = 0;
  btf::Btf btf;
  const btf::KernelBtf* kernel =
      nullptr;  ///< set: the kernel's own, which lists it as [vmlinux]; `btf` is empty
};

struct SubprogInfo {
  u32 start = 0;     ///< in xlated instructions
  u64 tag = 0;       ///< over its rewritten instructions
  std::string name;  ///< from BTF; empty without
};

/// A loaded program. Immutable but for its id (set before anybody else sees it), bound maps and statistics.
class Program {
 public:
  u32 id = 0;
  ProgType type{};
  AttachType expected_attach_type{};
  std::string name;
  u64 tag = 0;
  u32 flags = 0;
  bool gpl_compatible = false;
  u64 load_time_ns = 0;
  u32 uid = 0;
  u32 memlock = 0;
  u32 verified_insns = 0;
  u32 max_ctx_offset = 0;             ///< bytes of context that it reads
  bool reads_kernel_structs = false;  ///< or may tail-call one that does
  std::vector<maps::MapRef> maps;
  std::shared_ptr<BtfObject> btf;
  std::shared_ptr<const void> object_types;  ///< that its code refers to
  ProgramKeeper keeper;                      ///< in its code, too
  std::vector<isa::Insn> xlated;             ///< as `dump xlated` shows it
  std::vector<SubprogInfo> subprogs;
  std::vector<verifier::FuncInfo> func_info;
  std::vector<verifier::LineInfo> line_info;
  std::vector<verifier::TargetFunction>
      functions;                           ///< one for each of `func_info`: for who is attached to it
  std::optional<jit::Compiled> compiled;   ///< the machine code, or
  std::optional<vm::Code> code;            ///< what the interpreter runs where there is none
  Entry counted{}, interpreted{};          ///< what burst_entry() calls one by one
  const Callback* on_exception = nullptr;  ///< set: it may throw

  /// How program arrays call it.
  [[nodiscard]] Entry tail_entry() const;
  /// How to run it. With `counted` each run is timed and counted (kernel.bpf_stats_enabled).
  [[nodiscard]] Entry entry(bool counted) const;
  /// The same for many contexts in one call; by a pointer into the program where there is no machine code, or
  /// with `counted`.
  [[nodiscard]] BurstEntry burst_entry(bool counted) const;

  mutable std::atomic<u64> run_time_ns{0};
  mutable std::atomic<u64> run_cnt{0};
};

/// The program as maps hold it; keeps it.
[[nodiscard]] maps::ProgramRef program_ref(std::shared_ptr<const Program> program);

/// "bpf_prog_TAG_NAME", the symbol of a subprogram.
[[nodiscard]] std::string symbol_name(const Program& program, const SubprogInfo& subprog);
/// Where the symbol stands: the machine code's address, or, for interpreted programs, a number that no other
/// subprogram has.
[[nodiscard]] u64 symbol_address(const Program& program, std::size_t subprog);
/// __bpf_call_base of our symbol table.
inline constexpr u64 call_base = 0xffffffff81200000;

[[nodiscard]] ProgramInfo describe(const Program& program);

/// Who unhooks a link when it goes.
class LinkOwner {
 public:
  virtual void link_gone(class Link& link) noexcept = 0;

 protected:
  ~LinkOwner() = default;
};

/// An attachment of a program that lives as long as it is referred to.
class Link {
 public:
  explicit Link(LinkOwner& owner) : owner_(owner) {}
  ~Link() { owner_.link_gone(*this); }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  u32 id = 0;
  LinkType type{};
  AttachType attach_type{};
  std::shared_ptr<Program> program;
  u32 ifindex = 0;  ///< 0: detached
  u64 netns = 0;    ///< inode of the network namespace of `ifindex`
  u32 flags = 0;

 private:
  LinkOwner& owner_;
};

}  // namespace skep::runtime
