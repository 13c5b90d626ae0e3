#include "micro.hpp"

#include <fmt/format.h>

#include <cerrno>

#include "helpers/burst.hpp"
#include "helpers/table.hpp"
#include "isa/asm.hpp"
#include "jit/code_memory.hpp"
#include "jit/compile.hpp"
#include "maps/map.hpp"
#include "maps/program_ref.hpp"
#include "vm/interpreter.hpp"

namespace skep::bench {
namespace {

/// The programs of a program array; descriptor n is the nth.
struct Programs final : maps::Objects {
  std::vector<std::shared_ptr<const maps::ProgramRef>> list;
  Result<maps::MapRef> map(int) override { return fail(EBADF); }
  Result<std::shared_ptr<const maps::ProgramRef>> program(int fd) override {
    return list.at(static_cast<std::size_t>(fd));
  }
};

Result<jit::Compiled> compiled(const std::string& source, const vm::LinkTable& links = {},
                               const jit::Options& options = {}) {
  const auto insns = TRY(isa::assemble(source));
  return jit::compile_unverified(insns, links, options);
}

Contender calls_of(const Entry& entry, void* ctx, RunContext& rc, u64 expected) {
  Contender c;
  c.result = entry(ctx, &rc);
  c.name = c.result == expected ? "" : fmt::format("{} instead of {}", c.result, expected);
  c.run = [entry, ctx, &rc](u32 n) {
    u64 sum = 0;
    for (u32 i = 0; i < n; ++i) sum += entry(ctx, &rc);
    return sum;
  };
  return c;
}

/// The difference of b to a in ns, divided by `among`, round by round.
Summary difference(const Contender& b, const Contender& a, double among) {
  std::vector<double> values;
  for (std::size_t i = 0; i < std::min(a.rounds.size(), b.rounds.size()); ++i)
    values.push_back((b.rounds[i] - a.rounds[i]) / among);
  return summarize(values);
}

void add(Report& report, std::string name, const Summary& value) {
  report.figures.emplace_back(std::move(name), value.median);
  report.notes.push_back(
      fmt::format("{}: ±{:.2f}", report.figures.back().first, (value.high - value.low) / 2));
}

std::string repeated(const std::string& text, u32 times) {
  std::string out;
  for (u32 i = 0; i < times; ++i) out += text;
  return out;
}

/// What the machine is worth while this runs: one cycle of it. Where neighbours share its cores, every figure
/// in ns grows with this one.
void yardstick(Report& report, u32 rounds) {
  std::vector<Contender> one(1);
  one[0].run = [](u32 n) {
    u64 sum = 0;
    for (u32 i = 0; i < n; ++i) {
      sum += 1;
      asm volatile("" : "+r"(sum));
    }
    return sum;
  };
  measure(one, rounds);
  add(report, "the machine: a dependent addition, ns", summarize(one[0].rounds));
}

/// 64 calls of a subprogram that is as small as can be, inlined and not, against the same without calls.
Result<void> calls(Report& report, u32 rounds) {
  constexpr u32 count = 64;
  RunContext rc;
  const std::string source = "r0 = 0;" + repeated("callf f;", count) + "exit; f: r0 += 3; exit";
  const auto called = TRY(compiled(source, {}, {.combine = false}));
  const auto inlined = TRY(compiled(source));
  const auto without = TRY(compiled("r0 = 0;" + repeated("r0 += 3;", count) + "exit"));
  std::vector<Contender> all;
  for (const auto* program : {&called, &inlined, &without})
    all.push_back(calls_of(program->entry(), nullptr, rc, 3 * count));
  for (const Contender& c : all)
    if (!c.name.empty()) return fail(EINVAL, "calls: " + c.name);
  measure(all, rounds);
  add(report, "call and return, ns", difference(all[0], all[2], count));
  add(report, "call and return of a small function, ns", difference(all[1], all[2], count));
  return {};
}

/// A program that leaves for itself until the limit, its index known or read from the context.
Result<void> tail_calls(Report& report, u32 rounds) {
  constexpr u32 count = 33;
  RunContext rc;
  Programs programs;
  MapSpec spec;
  spec.type = MapType::prog_array;
  spec.key_size = spec.value_size = 4;
  spec.max_entries = 2;
  const maps::MapRef array = TRY(maps::create(spec, {nullptr, &programs}));
  void* maps[] = {array.get()};
  const vm::LinkTable links{.map_addresses = maps, .watches_slots = true};
  const jit::Options options{.pool = std::make_shared<jit::CodePool>()};
  u64 index = 1;
  const auto pass = TRY(compiled("r0 = 2; exit"));
  for (const auto& [name, load] :
       {std::pair{"constant", "r3 = 0"}, std::pair{"dynamic", "r3 = *(u64 *)(r1 +0)"}}) {
    const auto program = TRY(
        compiled(fmt::format("{}; r2 = map 0; raw f500000000000000; r0 = 2; exit", load), links, options));
    maps::ProgramRef ref;
    ref.run = program.tail_entry().run;
    ref.self = program.tail_entry().self;
    programs.list.assign(1, std::make_shared<maps::ProgramRef>(std::move(ref)));
    for (const u32 slot : {0u, 1u}) {
      const s32 fd = 0;
      TRY(array->user_update(std::as_bytes(std::span(&slot, 1)), std::as_bytes(std::span(&fd, 1)), 0));
    }
    std::vector<Contender> both = {calls_of(program.entry(), &index, rc, 2),
                                   calls_of(pass.entry(), &index, rc, 2)};
    if (rc.tail_calls != count || !both[0].name.empty()) return fail(EINVAL, "tail calls: not 33 of them");
    measure(both, rounds);
    add(report, fmt::format("{} tail call, ns", name), difference(both[0], both[1], count));
    for (const u32 slot : {0u, 1u}) TRY(array->user_delete(std::as_bytes(std::span(&slot, 1))));
  }
  return {};
}

/// The smallest program on 64 contexts in one call, and one by one.
Result<void> entries(Report& report, u32 rounds) {
  constexpr u32 packets = 64;
  const auto pass = TRY(compiled("r0 = *(u32 *)(r1 +0); exit"));
  RunContext rc;
  std::array<u64, packets> contexts{};
  for (u32 i = 0; i < packets; ++i) contexts[i] = i;
  std::array<u32, packets> results{};
  const Burst burst{.contexts = contexts.data(), .stride = 8, .results = results.data(), .count = packets};
  const BurstEntry entry = pass.burst_entry();
  if (entry(burst, &rc) != packets) return fail(EINVAL, "burst: not all contexts were run");
  for (u32 i = 0; i < packets; ++i)
    if (results[i] != i) return fail(EINVAL, "burst: a result is not its context's");
  std::vector<Contender> both(2);
  both[0].run = [&](u32 n) {
    u64 sum = 0;
    for (u32 i = 0; i < n; ++i) {
      entry(burst, &rc);
      sum += results[i % packets];
    }
    return sum;
  };
  const Entry single = pass.entry();
  both[1].run = [&](u32 n) {
    u64 sum = 0;
    for (u32 i = 0; i < n; ++i) sum += single(&contexts[i % packets], &rc);
    return sum;
  };
  measure(both, rounds);
  std::vector<double> each = both[0].rounds;
  for (double& ns : each) ns /= packets;
  add(report, "entry from a burst of 64, ns", summarize(each));
  add(report, "entry by a call of its own, ns", summarize(both[1].rounds));
  return {};
}

/// 16 calls of a helper in one program, against the same without.
Result<void> helper_calls(Report& report, u32 rounds) {
  constexpr u32 count = 16;
  RunContext rc;
  const vm::LinkTable links{.type = ProgType::xdp, .helper = helpers::function};
  const auto empty = TRY(compiled("r0 = 0; exit", links));
  for (const auto& [name, call] :
       {std::pair{"get_prandom_u32", "call 7;"}, std::pair{"redirect", "r1 = 3; r2 = 0; call 23;"},
        std::pair{"ktime_get_ns", "call 5;"}}) {
    const auto with = TRY(compiled(repeated(call, count) + "r0 = 0; exit", links));
    std::vector<Contender> both;
    for (const auto* program : {&with, &empty}) both.push_back(calls_of(program->entry(), nullptr, rc, 0));
    measure(both, rounds);
    add(report, fmt::format("{}, ns", name), difference(both[0], both[1], count));
  }
  return {};
}

/// All samples in one program, again and again: each leaves by a jump to where the next begins.
std::vector<isa::Insn> long_program(const std::vector<Sample>& samples, u32 at_least) {
  std::vector<isa::Insn> out;
  while (out.size() < at_least)
    for (const Sample& sample : samples) {
      const auto is_call = [](const isa::Insn& insn) { return insn.code == (isa::op::JMP | isa::op::CALL); };
      if (std::any_of(sample.insns.begin(), sample.insns.end(), is_call)) continue;
      for (std::size_t i = 0; i < sample.insns.size(); ++i) {
        isa::Insn insn = sample.insns[i];
        if (insn.code == isa::info(isa::Form::EXIT).code)
          insn = isa::encode(isa::Form::JA, 0, 0, static_cast<s16>(sample.insns.size() - 1 - i));
        out.push_back(insn);
      }
    }
  out.push_back(isa::encode(isa::Form::EXIT));
  return out;
}

Result<void> compiling(Report& report, const std::vector<Sample>& samples, u32 rounds) {
  const std::vector<isa::Insn> long_one = long_program(samples, 4000);
  const std::vector<isa::Insn> short_one = {isa::encode(isa::Form::MOV64_K), isa::encode(isa::Form::EXIT)};
  const auto pool = std::make_shared<jit::CodePool>();
  const auto compile = [&](const std::vector<isa::Insn>& insns) {
    Contender c;
    c.run = [&insns, &pool](u32 n) {
      u64 sum = 0;
      for (u32 i = 0; i < n; ++i) {
        const auto made = jit::compile_unverified(insns, {}, {.pool = pool});
        sum += made ? made->code().size() : 0;
      }
      return sum;
    };
    c.result = c.run(1);
    return c;
  };
  std::vector<Contender> both = {compile(long_one), compile(short_one)};
  for (const Contender& c : both)
    if (c.result == 0) return fail(EINVAL, "compiling: a program does not compile");
  measure(both, rounds);
  std::vector<double> each = both[0].rounds;
  for (double& ns : each) ns /= static_cast<double>(long_one.size());
  add(report, fmt::format("compile a program of {}, ns an instruction", long_one.size()), summarize(each));
  each = both[1].rounds;
  for (double& ns : each) ns /= 1000;
  add(report, "compile a program of 2, us", summarize(each));
  return {};
}

/// A loop of arithmetic, memory accesses and jumps whose instructions are counted.
Result<void> interpreting(Report& report, u32 rounds) {
  constexpr u32 times = 500, in_loop = 16;
  const auto insns =
      TRY(isa::assemble(fmt::format("r6 = {}; r0 = 7; *(u64 *)(r10 -8) = r0; head: r2 = *(u64 *)(r10 -8); r2 "
                                    "^= r0; r3 = r2; r3 <<= 13; r2 += r3; "
                                    "w4 = w2; w4 >>= 7; r2 ^= r4; if r2 s> 0 goto on; on: *(u64 "
                                    "*)(r10 -8) = r2; r5 = r10; r5 += -8; r0 = "
                                    "*(u8 *)(r5 +0); r6 -= 1; r0 += r2; if r6 != 0 goto head; exit",
                                    times)));
  const auto code = TRY(vm::prepare_unverified(insns, {}));
  const auto machine = TRY(jit::compile_unverified(insns, {}));
  RunContext rc;
  std::vector<Contender> one = {calls_of(code.entry(), nullptr, rc, machine.entry()(nullptr, &rc))};
  if (!one[0].name.empty()) return fail(EINVAL, "interpreting: " + one[0].name);
  measure(one, rounds);
  std::vector<double> each = one[0].rounds;
  for (double& ns : each) ns /= times * in_loop;
  add(report, "interpreter, ns an instruction", summarize(each));
  return {};
}

}  // namespace

std::vector<isa::Insn> runnable(std::vector<isa::Insn> xlated) {
  for (isa::Insn& insn : xlated) {
    if (insn.code != (isa::op::JMP | isa::op::CALL) || insn.src != uapi::PSEUDO_CALL) continue;
    insn.imm = insn.off;
    insn.off = 0;
  }
  return xlated;
}

Result<void> add_micro_figures(Report& report, const std::vector<Sample>& samples, u32 rounds) {
  yardstick(report, rounds);
  TRY(calls(report, rounds));
  TRY(tail_calls(report, rounds));
  TRY(entries(report, rounds));
  TRY(helper_calls(report, rounds));
  TRY(compiling(report, samples, rounds));
  return interpreting(report, rounds);
}

}  // namespace skep::bench
