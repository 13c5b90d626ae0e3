// Random programs, asked of the running kernel and of verify(): the same verdict, errno and level-2 log.
// Needs bpf(2) as root and Linux 6.18; skipped elsewhere. SKEP_DIFF_COUNT programs (default 400) from
// SKEP_DIFF_SEED.
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <random>

#include "helpers/table.hpp"
#include "verifier/cases.hpp"
#include "verifier/walk/random_programs.hpp"

namespace skep::verifier {
namespace {

using namespace testing;
using isa::Insn;
namespace op = isa::op;

long bpf(int command, bpf_attr& attr) { return syscall(SYS_bpf, command, &attr, sizeof attr); }

struct KernelMaps {
  struct One {
    int fd;
    maps::MapFacts facts;
  };
  std::vector<std::unique_ptr<One>> all;
  std::array<u32, 2> frozen{7, 9};

  bool add(const char* name, MapType type, u32 key, u32 value, u32 entries, u32 flags) {
    bpf_attr attr{};
    attr.map_type = static_cast<u32>(type);
    attr.key_size = key;
    attr.value_size = value;
    attr.max_entries = entries;
    attr.map_flags = flags;
    std::strncpy(attr.map_name, name, 15);
    const long fd = bpf(BPF_MAP_CREATE, attr);
    if (fd < 0) return false;
    auto one = std::make_unique<One>();
    one->fd = static_cast<int>(fd);
    one->facts.type = type;
    one->facts.key_size = key;
    one->facts.value_size = value;
    one->facts.max_entries = entries;
    one->facts.flags = flags;
    one->facts.name = name;
    one->facts.map_address = 0xffff888100000000 + static_cast<u64>(fd) * 0x400;
    one->facts.values_address = one->facts.map_address + 312;
    all.push_back(std::move(one));
    return true;
  }
  bool create() {
    if (!add("arr", MapType::array, 4, 48, 4, 0) || !add("hash", MapType::hash, 8, 16, 8, 0) ||
        !add("one", MapType::array, 4, 8, 1, 0) || !add("rb", MapType::ringbuf, 0, 0, 4096, 0) ||
        !add("prog", MapType::prog_array, 4, 4, 4, 0) || !add("ro", MapType::array, 4, 8, 1, 0x480) ||
        !add("froz", MapType::array, 4, 8, 1, 0x480))
      return false;
    bpf_attr attr{};
    u32 key = 0;
    attr.map_fd = static_cast<u32>(all.back()->fd);
    attr.key = reinterpret_cast<u64>(&key);
    attr.value = reinterpret_cast<u64>(frozen.data());
    if (bpf(BPF_MAP_UPDATE_ELEM, attr) != 0) return false;
    bpf_attr freeze{};
    freeze.map_fd = static_cast<u32>(all.back()->fd);
    if (bpf(BPF_MAP_FREEZE, freeze) != 0) return false;
    all.back()->facts.frozen = true;
    all.back()->facts.rodata = std::as_bytes(std::span(frozen));
    return true;
  }
  ~KernelMaps() {
    for (const auto& one : all) close(one->fd);
  }
  const One* named(std::string_view name) const {
    for (const auto& one : all)
      if (one->facts.name == name) return one.get();
    return nullptr;
  }
};

struct Answer {
  int code = 0;
  std::string log;
};

Answer ask_kernel(ProgType type, u32 flags, const std::vector<Insn>& insns, std::vector<char>& buffer) {
  bpf_attr attr{};
  attr.prog_type = static_cast<u32>(type);
  attr.insn_cnt = static_cast<u32>(insns.size());
  attr.insns = reinterpret_cast<u64>(insns.data());
  attr.license = reinterpret_cast<u64>("GPL");
  attr.log_level = 2;
  attr.log_size = static_cast<u32>(buffer.size());
  attr.log_buf = reinterpret_cast<u64>(buffer.data());
  attr.prog_flags = flags;
  buffer[0] = 0;
  const long fd = bpf(BPF_PROG_LOAD, attr);
  Answer answer{fd < 0 ? errno : 0, buffer.data()};
  if (fd >= 0) close(static_cast<int>(fd));
  return answer;
}

Answer ask_skep(const Input& input, u32 size) {
  const auto result = verify(input, {.level = 2, .size = size});
  return {result ? 0 : result.error().code, result ? result->log().text : result.error().log.text};
}

/// Programs from the goldens, changed here and there, and programs made up of likely instructions.
class Maker {
 public:
  Maker(u64 seed, const KernelMaps& maps) : rng_(seed), maps_(maps) {}

  u32 below(u32 n) { return static_cast<u32>(rng_() % n); }
  bool chance(u32 percent) { return below(100) < percent; }

  std::vector<Insn> mutate(std::vector<Insn> insns) {
    for (u32 n = 1 + below(4); n > 0; --n) {
      const u32 at = below(static_cast<u32>(insns.size()));
      Insn& i = insns[at];
      switch (below(8)) {
        case 0:
          i.dst = below(11) & 15;
          break;
        case 1:
          i.src = below(11) & 15;
          break;
        case 2:
          i.off = static_cast<s16>(i.off + static_cast<s32>(below(17)) - 8);
          break;
        case 3:
          i.imm = chance(50) ? i.imm + static_cast<s32>(below(9)) - 4 : number();
          break;
        case 4:
          i.code = static_cast<u8>((i.code & 0x0f) | below(16) << 4);
          break;
        case 5:
          i.code = static_cast<u8>((i.code & ~0x18) | below(4) << 3);
          break;
        case 6:
          insns.insert(insns.begin() + at, likely(static_cast<u32>(insns.size()) - at));
          break;
        default:
          i.code = static_cast<u8>(i.code ^ (chance(50) ? 3 : 8));
          break;
      }
    }
    return insns;
  }

  /// Two scalars, a context and a packet to begin with, then anything, then an exit.
  std::vector<Insn> make() {
    std::vector<Insn> out{
        {op::LDX | op::MEM | op::W, 2, 1, 12, 0},  {op::LDX | op::MEM | op::W, 3, 1, 16, 0},
        {op::ALU64 | op::MOV | op::X, 6, 1, 0, 0}, {op::ALU64 | op::MOV | op::K, 0, 0, 0, 0},
        {op::LDX | op::MEM | op::W, 7, 1, 0, 0},   {op::LDX | op::MEM | op::W, 8, 1, 4, 0}};
    if (chance(50)) {  // a map value in r9
      const auto& map = *maps_.all[below(3)];
      if (map.facts.max_entries == 1) {
        out.push_back({0x18, 9, 2, 0, map.fd});
        out.push_back({});
      } else {
        out.push_back({op::ST | op::MEM | op::DW, 10, 0, -8, static_cast<s32>(below(6))});
        out.push_back({op::ALU64 | op::MOV | op::X, 2, 10, 0, 0});
        out.push_back({op::ALU64 | op::ADD | op::K, 2, 0, 0, -8});
        out.push_back({0x18, 1, 1, 0, map.fd});
        out.push_back({});
        out.push_back({op::JMP | op::CALL, 0, 0, 0, 1});
        out.push_back({op::ALU64 | op::MOV | op::X, 9, 0, 0, 0});
        out.push_back({op::JMP | op::JNE | op::K, 0, 0, 2, 0});
        out.push_back({op::ALU64 | op::MOV | op::K, 0, 0, 0, 0});
        out.push_back({op::JMP | op::EXIT, 0, 0, 0, 0});
        out.push_back({op::LDX | op::MEM | op::DW, 2, 9, 0, 0});
        out.push_back({op::ALU64 | op::MOV | op::X, 3, 2, 0, 0});
      }
    }
    if (chance(40)) {
      out.push_back({op::ALU64 | op::MOV | op::X, 4, 7, 0, 0});
      out.push_back({op::ALU64 | op::ADD | op::K, 4, 0, 0, static_cast<s32>(below(40))});
      out.push_back({op::JMP | op::JLE | op::X, 4, 8, 2, 0});
      out.push_back({op::ALU64 | op::MOV | op::K, 0, 0, 0, 1});
      out.push_back({op::JMP | op::EXIT, 0, 0, 0, 0});
    }
    const u32 body = 3 + below(24);
    for (u32 i = 0; i < body; ++i) out.push_back(likely(body - i));
    out.push_back({op::ALU64 | op::MOV | op::K, 0, 0, 0, 0});
    out.push_back({op::JMP | op::EXIT, 0, 0, 0, 0});
    return out;
  }

 private:
  s32 number() {
    constexpr s32 interesting[] = {0,  1,  -1,  2,   7,      8,          15,        16, 31,
                                   63, 64, 255, 256, 0xffff, 0x7fffffff, INT32_MIN, -8, -16};
    return chance(70) ? interesting[below(std::size(interesting))] : static_cast<s32>(rng_());
  }
  u8 scalar_reg() {
    constexpr u8 regs[] = {0, 2, 2, 2, 3, 3, 4, 5};
    return regs[below(std::size(regs))];
  }
  s16 stack_off(u32 size) { return static_cast<s16>(-static_cast<s32>(size * (1 + below(32 / size)))); }

  Insn likely(u32 left) {
    const u8 wide = chance(60) ? op::ALU64 : op::ALU;
    switch (below(12)) {
      case 0:
      case 1:
      case 2: {  // arithmetic
        constexpr u8 ops[] = {op::ADD, op::SUB, op::MUL,  op::AND, op::OR,  op::XOR,
                              op::LSH, op::RSH, op::ARSH, op::MOV, op::DIV, op::NEG};
        const u8 o = ops[below(std::size(ops))];
        if (o == op::NEG) return {static_cast<u8>(wide | o), scalar_reg(), 0, 0, 0};
        if (chance(40)) return {static_cast<u8>(wide | o | op::X), scalar_reg(), scalar_reg(), 0, 0};
        s32 imm = number();
        if (o == op::LSH || o == op::RSH || o == op::ARSH)
          imm = static_cast<s32>(below(wide == op::ALU64 ? 64 : 32));
        if (o == op::DIV && imm == 0) imm = 3;
        return {static_cast<u8>(wide | o), scalar_reg(), 0, 0, imm};
      }
      case 3:
        return {static_cast<u8>(wide | op::MOV | op::X), scalar_reg(), scalar_reg(), 0, 0};
      case 4:
      case 5:
      case 6: {  // a jump
        constexpr u8 ops[] = {op::JEQ,  op::JNE,  op::JGT,  op::JGE,  op::JLT, op::JLE,
                              op::JSGT, op::JSGE, op::JSLT, op::JSLE, op::JSET};
        const u8 cls = chance(70) ? op::JMP : op::JMP32;
        const s16 off = static_cast<s16>(left > 1 ? below(left) : 0);
        const u8 o = ops[below(std::size(ops))];
        if (chance(10))
          return {static_cast<u8>(op::JMP | o | op::X), static_cast<u8>(7 + below(3)), 8, off, 0};
        if (chance(40)) return {static_cast<u8>(cls | o | op::X), scalar_reg(), scalar_reg(), off, 0};
        return {static_cast<u8>(cls | o), scalar_reg(), 0, off, number()};
      }
      case 7: {  // spill, or data on the stack
        constexpr u8 sizes[] = {op::B, op::H, op::W, op::DW, op::DW, op::DW};
        const u8 s = sizes[below(std::size(sizes))];
        const s16 off = stack_off(isa::bytes_of_size(s));
        if (chance(25)) return {static_cast<u8>(op::ST | op::MEM | s), 10, 0, off, number()};
        return {static_cast<u8>(op::STX | op::MEM | s), 10,
                chance(80) ? scalar_reg() : static_cast<u8>(6 + below(4)), off, 0};
      }
      case 8: {
        constexpr u8 sizes[] = {op::B, op::H, op::W, op::DW, op::DW};
        const u8 s = sizes[below(std::size(sizes))];
        const u8 mode = s != op::DW && chance(20) ? op::MEMSX : op::MEM;
        return {static_cast<u8>(op::LDX | mode | s), scalar_reg(), 10, stack_off(isa::bytes_of_size(s)), 0};
      }
      case 9: {  // through a pointer
        constexpr u8 sizes[] = {op::B, op::H, op::W, op::DW};
        const u8 s = sizes[below(4)];
        const u8 base = chance(50) ? 9 : 7;
        const s16 off = static_cast<s16>(below(6) * isa::bytes_of_size(s));
        if (chance(50)) return {static_cast<u8>(op::LDX | op::MEM | s), scalar_reg(), base, off, 0};
        return {static_cast<u8>(op::STX | op::MEM | s), base, scalar_reg(), off, 0};
      }
      case 10: {  // pointer arithmetic
        const u8 ptr = chance(50) ? 9 : 7;
        if (chance(50)) return {op::ALU64 | op::ADD | op::K, ptr, 0, 0, static_cast<s32>(below(24))};
        return {static_cast<u8>(op::ALU64 | (chance(80) ? op::ADD : op::SUB) | op::X), ptr, scalar_reg(), 0,
                0};
      }
      default: {
        if (chance(30))
          return {static_cast<u8>(op::STX | op::ATOMIC | (chance(50) ? op::DW : op::W)), 10, scalar_reg(), -8,
                  0};
        if (chance(30)) return {op::JMP | op::CALL, 0, 0, 0, chance(50) ? 7 : 8};
        if (chance(30))
          return {static_cast<u8>(op::ALU | op::END | (chance(50) ? op::X : op::K)),
                  static_cast<u8>(scalar_reg() & 15), 0, 0, chance(50) ? 16 : 32};
        return {op::ALU64 | op::MOV | op::X, static_cast<u8>(scalar_reg() & 15),
                static_cast<u8>(scalar_reg() & 15), static_cast<s16>(8 << below(3)), 0};
      }
    }
  }

  std::mt19937_64 rng_;
  const KernelMaps& maps_;
};

/// Left out: kernel functions and symbols, helpers without a contract, descriptors of other things, and
/// comparisons of the low half of a register with 0, whose outcome 6.18 takes for known where the register is
/// a pointer (later kernels do not, nor does skep).
bool comparable(ProgType type, const std::vector<Insn>& insns, const std::vector<MapBinding>& maps) {
  for (const Insn& i : insns) {
    if (isa::is_ld_imm64(i) && i.src != 0) {
      bool bound = false;
      for (const MapBinding& map : maps) bound = bound || map.fd == i.imm;
      if (i.src > 2 || !bound) return false;
    }
    if (i.code == (op::JMP | op::CALL) && i.src == 0 && helpers::allowed(type, static_cast<u32>(i.imm)) &&
        helpers::lookup(type, {}, static_cast<u32>(i.imm)) == nullptr)
      return false;
    if (isa::class_of(i.code) == op::STX && isa::mode_of(i.code) == op::ATOMIC &&
        isa::bytes_of_size(i.code) < 4)
      return false;
    if (i.code == (op::JMP | op::CALL) && i.src == uapi::PSEUDO_KFUNC_CALL) return false;
    if (isa::class_of(i.code) == op::JMP32 && i.imm == 0 &&
        (isa::op_of(i.code) == op::JEQ || isa::op_of(i.code) == op::JNE))
      return false;
    if (isa::class_of(i.code) == op::STX && isa::mode_of(i.code) == op::ATOMIC && (i.imm & 1) != 0)
      return false;
  }
  return true;
}

TEST(KernelDifference, RandomProgramsGetTheKernelsVerdictAndLog) {
  utsname name{};
  uname(&name);
  if (std::string_view(name.release).find("6.18.") != 0)
    GTEST_SKIP() << "compared only on Linux 6.18, this is " << name.release;
  KernelMaps maps;
  if (!maps.create()) GTEST_SKIP() << "bpf(2) is not allowed here";
  const u64 count = from_environment("SKEP_DIFF_COUNT", 400);
  Maker maker(from_environment("SKEP_DIFF_SEED", 1), maps);

  std::vector<MapBinding> bindings;
  for (const auto& one : maps.all) bindings.push_back({one->fd, &one->facts});
  CaseMaps case_maps;
  std::vector<Case> seeds;
  for (Case& c : load_cases(case_maps)) {
    bool usable = c.type == "xdp" || c.type == "sched_cls" || c.type == "socket_filter";
    for (Insn& i : c.insns) {
      // Not compared: helpers skep has no contract of, and where it asks for more precision than 6.18 does
      // (NULL arguments, atomic fetches), because later kernels found that to be needed.
      if (i.code == 0x85 && i.src != 1)
        usable = usable && i.src == 0 && i.imm != 28 && i.imm != 198 && i.imm != 199 && i.imm < 212;
      if (isa::class_of(i.code) == op::STX && isa::mode_of(i.code) == op::ATOMIC && (i.imm & 1) != 0)
        usable = false;
    }
    std::size_t next = 0;
    for (std::size_t i = 0; i + 1 < c.insns.size() && usable; ++i) {
      if (!isa::is_ld_imm64(c.insns[i]) || (c.insns[i].src != 1 && c.insns[i].src != 2)) continue;
      const auto* map = maps.named(c.bindings[next++].facts->name);
      if (map == nullptr) {
        usable = false;
      } else {
        c.insns[i].imm = map->fd;
      }
      ++i;
    }
    if (usable) seeds.push_back(std::move(c));
  }

  std::vector<char> buffer(4 << 20);
  u32 agreed = 0, unsupported = 0, accepted = 0, failures = 0;
  for (u64 n = 0; n < count && failures < 5; ++n) {
    ProgType type = ProgType::xdp;
    std::vector<Insn> insns;
    u32 flags = 0;
    if (maker.chance(50)) {
      const Case& seed = seeds[maker.below(static_cast<u32>(seeds.size()))];
      type = seed.input().type;
      insns = maker.mutate(seed.insns);
    } else {
      insns = maker.make();
    }
    if (maker.chance(20)) flags = uapi::F_TEST_STATE_FREQ;
    if (!comparable(type, insns, bindings)) continue;
    Input input;
    input.type = type;
    input.prog_flags = flags;
    input.gpl_compatible = true;
    input.insns = insns;
    input.maps = bindings;
    input.helper = helpers::lookup;
    input.helper_name = helpers::name;
    input.cpu_count = static_cast<u32>(sysconf(_SC_NPROCESSORS_CONF));
    const Answer ours = ask_skep(input, static_cast<u32>(buffer.size()));
    if (ours.code == EOPNOTSUPP) {
      ++unsupported;
      continue;
    }
    const Answer kernel = ask_kernel(type, flags, insns, buffer);
    if (kernel.code == 0) ++accepted;
    const bool same =
        ours.code == kernel.code && without_addresses(ours.log) == without_addresses(kernel.log);
    if (same) {
      ++agreed;
      continue;
    }
    ++failures;
    std::string k = without_addresses(kernel.log), o = without_addresses(ours.log);
    std::size_t at = 0;
    while (at < k.size() && at < o.size() && k[at] == o[at]) ++at;
    const std::size_t from = at > 1200 ? k.rfind('\n', at - 1000) : 0;
    ADD_FAILURE() << "program " << n << " flags " << flags << ": kernel " << kernel.code << ", skep "
                  << ours.code << "\n"
                  << listing(insns) << "--- kernel from there\n"
                  << k.substr(from, at - from + 600) << "\n--- skep\n"
                  << o.substr(at > 100 ? at - 100 : 0, 500);
  }
  std::cout << agreed << " programs agree (" << accepted << " accepted), " << unsupported
            << " not supported yet\n";
}

}  // namespace
}  // namespace skep::verifier
