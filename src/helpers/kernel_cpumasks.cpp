// Kernel functions on sets of CPUs (kernel: kernel/bpf/cpumask.c). The CPUs are those of the kernel that the
// program runs on: its workers.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>

#include "base/rcu.hpp"
#include "helpers/families.hpp"
#include "helpers/kernel_functions.hpp"
#include "maps/percpu.hpp"

namespace skep::helpers {
namespace {

/// struct bpf_cpumask: a set and its references.
struct Cpumask {
  static constexpr u32 words = 128;  ///< CONFIG_NR_CPUS of distributions: 8192
  std::array<std::atomic<u64>, words> bits{};
  std::atomic<u32> usage{1};
};

Cpumask& mask_of(u64 address) { return *pointer<Cpumask>(address); }
u32 cpus_of(const RunContext* run) {
  return run->percpu != nullptr ? std::min(run->percpu->cpus(), Cpumask::words * 64) : 1;
}
u64 word(const Cpumask& mask, u32 index) { return mask.bits[index].load(std::memory_order_relaxed); }
void set_word(Cpumask& mask, u32 index, u64 value) {
  mask.bits[index].store(value, std::memory_order_relaxed);
}
/// The bits of word `index` that are CPUs.
u64 possible(u32 index, u32 cpus) {
  const u32 begin = index * 64;
  if (cpus <= begin) return 0;
  return cpus - begin >= 64 ? ~u64{0} : (u64{1} << (cpus - begin)) - 1;
}

u64 create(u64, u64, u64, u64, u64, RunContext*) { return reinterpret_cast<u64>(new (std::nothrow) Cpumask); }
u64 acquire(u64 mask, u64, u64, u64, u64, RunContext*) {
  mask_of(mask).usage.fetch_add(1, std::memory_order_relaxed);
  return mask;
}
u64 release(u64 mask, u64, u64, u64, u64, RunContext*) {
  release_cpumask(pointer<void>(mask));
  return 0;
}

/// The least CPU whose bit is set in `bits_of(index of a word)`; as many as there are CPUs if there is none.
template <class Bits>
u32 first_of(u32 cpus, Bits bits_of) {
  for (u32 i = 0; i * 64 < cpus; ++i)
    if (const u64 bits = bits_of(i) & possible(i, cpus); bits != 0)
      return i * 64 + static_cast<u32>(std::countr_zero(bits));
  return cpus;
}
u64 first(u64 mask, u64, u64, u64, u64, RunContext* run) {
  return first_of(cpus_of(run), [&](u32 i) { return word(mask_of(mask), i); });
}
u64 first_zero(u64 mask, u64, u64, u64, u64, RunContext* run) {
  return first_of(cpus_of(run), [&](u32 i) { return ~word(mask_of(mask), i); });
}
u64 first_and(u64 one, u64 other, u64, u64, u64, RunContext* run) {
  return first_of(cpus_of(run), [&](u32 i) { return word(mask_of(one), i) & word(mask_of(other), i); });
}
/// Another CPU of the set each time, in turns on each worker (cpumask_any_and_distribute()).
u64 any_and(u64 one, u64 other, u64, u64, u64, RunContext* run) {
  thread_local u32 last = 0;
  const u32 cpus = cpus_of(run);
  const auto both = [&](u32 i) { return word(mask_of(one), i) & word(mask_of(other), i); };
  const u32 begin = last + 1;
  u32 found = first_of(cpus, [&](u32 i) {
    const u64 below = possible(i, begin);
    return both(i) & ~below;
  });
  if (found == cpus) found = first_of(cpus, both);
  if (found < cpus) last = found;
  return found;
}
u64 any(u64 mask, u64, u64, u64, u64, RunContext* run) { return any_and(mask, mask, 0, 0, 0, run); }

/// (cpu, mask): what does not exist is not touched, and in no set.
enum class Change : u8 { none, set, clear };
template <Change change>
u64 bit(u64 cpu64, u64 mask, u64, u64, u64, RunContext* run) {
  const u32 cpu = static_cast<u32>(cpu64);
  if (cpu >= cpus_of(run)) return 0;
  std::atomic<u64>& bits = mask_of(mask).bits[cpu / 64];
  const u64 its = u64{1} << (cpu % 64);
  const u64 before = change == Change::set     ? bits.fetch_or(its)
                     : change == Change::clear ? bits.fetch_and(~its)
                                               : bits.load(std::memory_order_relaxed);
  return (before & its) != 0;
}

template <bool full>
u64 fill(u64 mask, u64, u64, u64, u64, RunContext* run) {
  for (u32 i = 0; i < Cpumask::words; ++i) set_word(mask_of(mask), i, full ? possible(i, cpus_of(run)) : 0);
  return 0;
}

/// (to, one, other): whether anything is in the result, which bpf_cpumask_and() alone tells.
enum class Operation : u8 { both, either, one_of };
template <Operation operation>
u64 combine(u64 to, u64 one, u64 other, u64, u64, RunContext*) {
  u64 any_bits = 0;
  for (u32 i = 0; i < Cpumask::words; ++i) {
    const u64 a = word(mask_of(one), i), b = word(mask_of(other), i);
    const u64 bits = operation == Operation::both ? a & b : operation == Operation::either ? a | b : a ^ b;
    set_word(mask_of(to), i, bits);
    any_bits |= bits;
  }
  return any_bits != 0;
}
u64 copy(u64 to, u64 from, u64, u64, u64, RunContext*) {
  for (u32 i = 0; i < Cpumask::words; ++i) set_word(mask_of(to), i, word(mask_of(from), i));
  return 0;
}

/// Whether `holds(word, other word)` for the CPUs of every word.
template <class Holds>
u64 for_all(u64 one, u64 other, const RunContext* run, Holds holds) {
  const u32 cpus = cpus_of(run);
  for (u32 i = 0; i * 64 < cpus; ++i) {
    const u64 of = possible(i, cpus);
    if (!holds(word(mask_of(one), i) & of, word(mask_of(other), i) & of, of)) return 0;
  }
  return 1;
}
u64 equal(u64 one, u64 other, u64, u64, u64, RunContext* run) {
  return for_all(one, other, run, [](u64 a, u64 b, u64) { return a == b; });
}
u64 subset(u64 one, u64 other, u64, u64, u64, RunContext* run) {
  return for_all(one, other, run, [](u64 a, u64 b, u64) { return (a & ~b) == 0; });
}
u64 intersects(u64 one, u64 other, u64, u64, u64, RunContext* run) {
  return 1 - for_all(one, other, run, [](u64 a, u64 b, u64) { return (a & b) == 0; });
}
u64 empty(u64 mask, u64, u64, u64, u64, RunContext* run) {
  return for_all(mask, mask, run, [](u64 a, u64, u64) { return a == 0; });
}
u64 full(u64 mask, u64, u64, u64, u64, RunContext* run) {
  return for_all(mask, mask, run, [](u64 a, u64, u64 of) { return a == of; });
}
u64 weight(u64 mask, u64, u64, u64, u64, RunContext* run) {
  u32 count = 0;
  for (u32 i = 0; i * 64 < cpus_of(run); ++i)
    count += static_cast<u32>(std::popcount(word(mask_of(mask), i) & possible(i, cpus_of(run))));
  return count;
}

/// (mask, memory, its size)
u64 populate(u64 mask, u64 from, u64 size, u64, u64, RunContext* run) {
  const u32 cpus = cpus_of(run), words = (cpus + 63) / 64;
  if (size < u64{words} * sizeof(u64)) return error_result(EACCES);
  for (u32 i = 0; i < words; ++i)
    set_word(mask_of(mask), i, load<u64>(pointer<const std::byte>(from) + u64{i} * 8) & possible(i, cpus));
  return 0;
}

constexpr KernelFunctionRow rows[] = {
    {"bpf_cpumask_create", create},
    {"bpf_cpumask_acquire", acquire},
    {"bpf_cpumask_release", release},
    {"bpf_cpumask_first", first},
    {"bpf_cpumask_first_zero", first_zero},
    {"bpf_cpumask_first_and", first_and},
    {"bpf_cpumask_any_distribute", any},
    {"bpf_cpumask_any_and_distribute", any_and},
    {"bpf_cpumask_set_cpu", bit<Change::set>},
    {"bpf_cpumask_clear_cpu", bit<Change::clear>},
    {"bpf_cpumask_test_cpu", bit<Change::none>},
    {"bpf_cpumask_test_and_set_cpu", bit<Change::set>},
    {"bpf_cpumask_test_and_clear_cpu", bit<Change::clear>},
    {"bpf_cpumask_setall", fill<true>},
    {"bpf_cpumask_clear", fill<false>},
    {"bpf_cpumask_and", combine<Operation::both>},
    {"bpf_cpumask_or", combine<Operation::either>},
    {"bpf_cpumask_xor", combine<Operation::one_of>},
    {"bpf_cpumask_equal", equal},
    {"bpf_cpumask_intersects", intersects},
    {"bpf_cpumask_subset", subset},
    {"bpf_cpumask_empty", empty},
    {"bpf_cpumask_full", full},
    {"bpf_cpumask_copy", copy},
    {"bpf_cpumask_weight", weight},
    {"bpf_cpumask_populate", populate},
};

}  // namespace

std::span<const KernelFunctionRow> cpumask_kernel_functions() { return rows; }

void release_cpumask(void* mask) {
  auto* cpumask = static_cast<Cpumask*>(mask);
  if (cpumask->usage.fetch_sub(1, std::memory_order_acq_rel) == 1)
    rcu::defer(cpumask, [](void* last) { delete static_cast<Cpumask*>(last); });
}

}  // namespace skep::helpers
