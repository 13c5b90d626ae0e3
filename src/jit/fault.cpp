// The handler, and the table of code that it searches. A signal handler is one for a process, and so is this
// table (vm/probe.cpp has the other such thing). Slots are never freed, so that the handler may walk them at
// any time; it looks into a program only when that program's code is what faulted, which keeps the program
// alive.
#include "jit/fault.hpp"

#include <fmt/format.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>

#include "base/fd.hpp"
#include "vm/probe.hpp"

namespace skep::jit {
namespace {

struct Slot {
  std::atomic<u64> begin{0}, end{0};
  std::atomic<const detail::CodeRange*> range{nullptr};
};
struct Chunk {
  std::array<Slot, 256> slots;
  std::atomic<Chunk*> next{nullptr};
};

struct Signal {
  int number;
  const char* name;
};
constexpr Signal signals[] = {
    {SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGILL, "SIGILL"}, {SIGFPE, "SIGFPE"}, {SIGTRAP, "SIGTRAP"}};

struct Table {
  Chunk first;
  std::mutex mutex;  ///< of those who add; the handler takes none
  bool installed = false;
  std::array<struct sigaction, std::size(signals)> before{};
};
Table& table() {
  static Table the_table;
  return the_table;
}

const detail::CodeRange* find(u64 pc) {
  for (const Chunk* chunk = &table().first; chunk != nullptr; chunk = chunk->next.load())
    for (const Slot& slot : chunk->slots)
      if (pc >= slot.begin.load() && pc < slot.end.load()) return slot.range.load();
  return nullptr;
}

/// The register that machine code numbers so becomes 0.
void clear_register([[maybe_unused]] void* context, [[maybe_unused]] u8 reg) {
#if defined(__x86_64__)
  constexpr u8 order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                          REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[order[reg]] = 0;
#elif defined(__aarch64__)
  static_cast<ucontext_t*>(context)->uc_mcontext.regs[reg] = 0;
#endif
}

/// vm::recover_probe() for machine code.
bool recover(u64 pc, void* context) {
  const detail::CodeRange* range = find(pc);
  if (range == nullptr) return false;
  const u32 offset = static_cast<u32>(pc - range->begin);
  const auto probe = std::lower_bound(range->probes.begin(), range->probes.end(), offset,
                                      [](const Probe& p, u32 at) { return p.load < at; });
  if (probe == range->probes.end() || probe->load != offset) return false;
  clear_register(context, probe->reg);
  vm::go_on_at(context, range->begin + probe->next);
  return true;
}

void say(const char* signal, u64 pc, const void* address, const detail::CodeRange& range) {
  std::array<char, 1024> text;  // NOLINT: filled below
  const auto add = [&](char* to, auto format, const auto&... values) {
    return fmt::format_to_n(to, static_cast<std::size_t>(text.data() + text.size() - to - 1), format,
                            values...)
        .out;
  };
  char* end =
      add(text.data(), FMT_STRING("skep: {} at address {:#x} in the machine code of {}, offset {:#x}"),
          signal, reinterpret_cast<u64>(address), range.identity.program, pc - range.begin);
  const u32 offset = static_cast<u32>(pc - range.begin);
  if (offset < range.functions_end) {
    const u32* after = std::upper_bound(range.insn_offsets, range.insn_offsets + range.insns, offset);
    const u32 insn = after == range.insn_offsets ? 0 : static_cast<u32>(after - range.insn_offsets) - 1;
    end = add(end, FMT_STRING(", instruction {}"), insn);
    std::array<char, 512> line;  // NOLINT: filled by source()
    const std::size_t n = range.identity.source == nullptr
                              ? 0
                              : range.identity.source(range.identity.owner, insn, line.data(), line.size());
    if (n != 0) end = add(end, FMT_STRING(", {}"), std::string_view(line.data(), n));
  }
  end = add(end, FMT_STRING(" (a bug of skep: please report it with the program)"));
  *end++ = '\n';
  const ssize_t ignored = write(STDERR_FILENO, text.data(), static_cast<std::size_t>(end - text.data()));
  static_cast<void>(ignored);
}

void on_signal(int number, siginfo_t* info, void* context) {
  const int kept = errno;
  if (info->si_code > 0 && vm::recover_probe(context)) return;
  const u64 pc = vm::program_counter(context);
  for (std::size_t i = 0; i < std::size(signals); ++i) {
    if (signals[i].number != number) continue;
    if (const auto* range = find(pc)) say(signals[i].name, pc, info->si_addr, *range);
    // The instruction is tried again and now meets what was there before us.
    sigaction(number, &table().before[i], nullptr);
    if (number == SIGTRAP || info->si_code <= 0) raise(number);  // a trap is over, kill() does not come again
  }
  errno = kept;
}

}  // namespace

Result<void> report_faults() {
  Table& the_table = table();
  const std::lock_guard lock(the_table.mutex);
  // Not a second time over handlers that came later and hand on to this one: they would hand on in a circle.
  if (the_table.installed) return {};
  for (std::size_t i = 0; i < std::size(signals); ++i) {
    struct sigaction now{};
    if (sigaction(signals[i].number, nullptr, &now) != 0) return fail_errno("sigaction");
    the_table.before[i] = now;
    struct sigaction ours{};
    ours.sa_sigaction = on_signal;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    if (sigaction(signals[i].number, &ours, nullptr) != 0) return fail_errno("sigaction");
  }
  the_table.installed = true;
  return {};
}

void detail::add_range(const CodeRange& range) {
  if (!range.probes.empty()) vm::set_code_recovery(recover);
  Table& the_table = table();
  const std::lock_guard lock(the_table.mutex);
  for (Chunk* chunk = &the_table.first;; chunk = chunk->next.load()) {
    for (Slot& slot : chunk->slots) {
      if (slot.range.load() != nullptr) continue;
      slot.range.store(&range);
      slot.begin.store(range.begin);
      slot.end.store(range.end);
      return;
    }
    if (chunk->next.load() == nullptr) chunk->next.store(new Chunk);
  }
}

void detail::remove_range(const CodeRange& range) {
  Table& the_table = table();
  const std::lock_guard lock(the_table.mutex);
  for (Chunk* chunk = &the_table.first; chunk != nullptr; chunk = chunk->next.load())
    for (Slot& slot : chunk->slots) {
      if (slot.range.load() != &range) continue;
      slot.end.store(0);
      slot.begin.store(0);
      slot.range.store(nullptr);
      return;
    }
}

}  // namespace skep::jit
