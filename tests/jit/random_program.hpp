// Random programs that any engine may run: straight code, forward jumps, bounded loops, local calls, stack
// and memory accesses, atomics, helper calls. Biased towards the sequences that the combining pass looks for.
#pragma once
#include <random>
#include <vector>

#include "isa/form.hpp"

namespace skep::jit::testing {

inline constexpr u32 memory_bytes = 256;  ///< R1 of the main program points at its middle

/// From any source of numbers: a generator, or a fuzzer's bytes.
template <class Source>
class ProgramMaker {
 public:
  explicit ProgramMaker(Source& source) : source_(source) {}

  /// Registers R0..R8 random, R9 the memory pointer, in every function; ends by folding all into R0.
  std::vector<isa::Insn> make(u32 length) {
    out_.clear();
    calls_.clear();
    function(length, true);
    const std::size_t main_calls = calls_.size();
    for (u32 f = 0; f < 2 && main_calls != 0; ++f) {
      const s32 start = static_cast<s32>(out_.size());
      for (std::size_t c = 0; c < main_calls; ++c)
        if (calls_[c].callee == f) out_[calls_[c].at].imm = start - static_cast<s32>(calls_[c].at) - 1;
      function(length / 2, false);
    }
    leaf(main_calls);
    return out_;
  }

 private:
  using Form = isa::Form;
  struct Call {
    std::size_t at;
    u32 callee;
  };
  static std::vector<Form> forms_of(std::initializer_list<isa::Family> families) {
    std::vector<Form> result;
    for (u32 i = 0; i < isa::form_count; ++i)
      for (const isa::Family family : families)
        if (isa::forms[i].family == family) result.push_back(static_cast<Form>(i));
    return result;
  }
  Form pick(const std::vector<Form>& list) { return list[below(static_cast<u32>(list.size()))]; }
  u32 below(u32 n) { return static_cast<u32>(source_() % n); }
  u8 any_register() {
    const u8 r = static_cast<u8>(below(registers_));
    return r == avoid_ ? static_cast<u8>((r + 1) % registers_) : r;
  }
  s32 immediate() {
    constexpr s32 special[] = {
        0, 1, -1, 2, 8, 16, 31, 32, 63, 127, 128, -128, -129, 255, 65535, 0x7fffffff, -0x7fffffff - 1};
    return below(3) != 0 ? special[below(std::size(special))] : static_cast<s32>(source_());
  }
  void add(Form form, u8 dst = 0, u8 src = 0, s16 off = 0, s32 imm = 0) {
    out_.push_back(isa::encode(form, dst, src, off, imm));
  }
  void load_constant(u8 r) {
    const u64 value =
        below(2) != 0 ? source_() * 0x9e3779b97f4a7c15 : static_cast<u64>(static_cast<s64>(immediate()));
    for (const isa::Insn& insn : isa::encode_imm64(Form::LD_IMM64_IMM, r, value)) out_.push_back(insn);
  }

  void function(u32 length, bool is_main) {
    is_main_ = is_main;
    add(Form::MOV64_X, 9, 1);
    for (u8 r = 0; r < 9; ++r)
      if (is_main || r == 0 || r > 5) load_constant(r);
    for (s16 slot = 1; slot <= 8; ++slot) add(Form::STX_DW, 10, any_register(), static_cast<s16>(-8 * slot));
    for (u32 i = 0; i < length; ++i) step(length - i);
    for (const std::size_t at : open_) land(at);
    open_.clear();
    for (u8 r = 1; r < 9; ++r) {
      add(Form::MUL64_K, 0, 0, 0, 31);
      add(Form::ADD64_X, 0, r);
    }
    for (s16 slot = 1; slot <= 8; ++slot) {
      add(Form::LDX_DW, 1, 10, static_cast<s16>(-8 * slot));
      add(Form::XOR64_X, 0, 1);
    }
    add(Form::EXIT);
  }
  /// A function of a few instructions on R0 to R5, with an exit in its middle at times.
  void leaf(std::size_t calls) {
    const s32 start = static_cast<s32>(out_.size());
    bool called = false;
    for (std::size_t c = 0; c < calls; ++c) {
      if (calls_[c].callee != 2) continue;
      out_[calls_[c].at].imm = start - static_cast<s32>(calls_[c].at) - 1;
      called = true;
    }
    if (!called) return;
    registers_ = 6;
    add(Form::LDX_W, 0, 1, static_cast<s16>(offset(8)));
    for (u32 i = below(3); i > 0; --i) arithmetic();
    if (below(2) != 0) {
      const bool leaves = below(2) != 0;
      add(condition(), any_register(), any_register(), 2, immediate());
      arithmetic();
      if (leaves)
        add(Form::EXIT);
      else
        arithmetic();
    }
    for (u32 i = below(6); i > 0; --i) arithmetic();
    for (u8 r = 1; r < 6; ++r) add(Form::ADD64_X, 0, r);
    add(Form::EXIT);
    registers_ = 9;
  }
  void land(std::size_t at) { out_[at].off = static_cast<s16>(out_.size() - at - 1); }

  void step(u32 left) {
    if (open_.size() > floor_ && below(4) == 0) {
      land(open_.back());
      open_.pop_back();
    }
    switch (below(27)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
        return arithmetic();
      case 6:
        return idiom_rotate();
      case 7:
        return idiom_add();
      case 8:
        return idiom_load_swap();
      case 9:
        return idiom_byte_loads();
      case 10:
      case 11:
        return memory_access();
      case 12:
        return atomic();
      case 13:
      case 14:
        return open_jump();
      case 15:
        return loop(left);
      case 16:
        return helper_call();
      case 17:
        return is_main_ ? local_call() : arithmetic();
      case 18:
        return load_constant(any_register());
      case 19:
        return counted_loop();
      case 20:
        return idiom_select();
      case 21:
        return idiom_index();
      case 22:
        return idiom_extend();
      case 23:
        return idiom_thread();
      case 24:
        return idiom_unless();
      case 25:
        return walk();
      default:
        return idiom_byte_stores();
    }
  }

  void arithmetic() {
    static const auto list = forms_of(
        {isa::Family::alu64, isa::Family::alu32, isa::Family::movsx, isa::Family::zext, isa::Family::end});
    add(pick(list), any_register(), any_register(), 0, immediate());
  }
  void idiom_rotate() {
    const bool wide = below(2) != 0;
    const u8 x = any_register(), t = any_register();
    const s32 width = wide ? 64 : 32, by = static_cast<s32>(below(static_cast<u32>(width) + 1));
    add(wide ? Form::MOV64_X : Form::MOV32_X, t, x);
    const bool swap = below(2) != 0;
    const u8 first = swap ? t : x, second = swap ? x : t;
    if (below(2) != 0) {
      add(wide ? Form::LSH64_K : Form::LSH32_K, first, 0, 0, by);
      add(wide ? Form::RSH64_K : Form::RSH32_K, second, 0, 0, width - by);
    } else {
      add(wide ? Form::RSH64_K : Form::RSH32_K, first, 0, 0, by);
      add(wide ? Form::LSH64_K : Form::LSH32_K, second, 0, 0, width - by);
    }
    const bool into_t = below(2) != 0;
    add(wide ? Form::OR64_X : Form::OR32_X, into_t ? t : x, into_t ? x : t);
    if (below(3) != 0) load_constant(into_t ? x : t);
  }
  void idiom_add() {
    const bool wide = below(2) != 0;
    const u8 d = any_register(), s = any_register();
    add(wide ? Form::MOV64_X : Form::MOV32_X, d, s);
    constexpr Form next[] = {Form::ADD64_K, Form::ADD32_K, Form::SUB64_K, Form::ADD64_X,
                             Form::ADD32_X, Form::LSH64_K, Form::AND64_K, Form::AND32_K};
    add(next[below(std::size(next))], d, any_register(), 0, immediate());
    if (below(2) != 0) add(below(2) != 0 ? Form::ADD64_X : Form::SUB64_X, d, any_register());
  }
  s16 offset(u32 bytes) {
    return static_cast<s16>(static_cast<s32>(below(memory_bytes - bytes)) -
                            static_cast<s32>(memory_bytes / 2));
  }
  void idiom_load_swap() {
    constexpr Form loads[] = {Form::LDX_B, Form::LDX_H, Form::LDX_W, Form::LDX_DW};
    constexpr Form swaps[] = {Form::BE16,    Form::BE32,    Form::BE64, Form::BSWAP16,
                              Form::BSWAP32, Form::BSWAP64, Form::LE16, Form::LE32};
    const u8 d = any_register();
    add(loads[below(4)], d, 9, offset(8));
    add(swaps[below(std::size(swaps))], d);
    if (below(2) != 0) add(Form::AND64_K, d, 0, 0, immediate());
  }
  /// b = p[n+1]; b <<= 8; a = p[n]; b |= a and the like, for 2 or 4 bytes.
  void idiom_byte_loads() {
    const u8 d = any_register(), t = any_register();
    const s16 at = offset(8);
    const bool little = below(2) != 0;
    add(Form::LDX_B, d, 9, at);
    add(Form::LDX_B, t, 9, static_cast<s16>(at + (below(8) != 0 ? 1 : 2)));
    const u8 shifted = little ? t : d;
    add(below(2) != 0 ? Form::LSH64_K : Form::LSH32_K, shifted, 0, 0, below(8) != 0 ? 8 : 16);
    const bool into_t = below(2) != 0;
    add(below(2) != 0 ? Form::OR64_X : Form::OR32_X, into_t ? t : d, into_t ? d : t);
    if (below(2) != 0) load_constant(into_t ? d : t);
  }
  void idiom_byte_stores() {
    const u8 x = any_register(), t = any_register();
    const s16 at = offset(8);
    add(Form::STX_B, 9, x, at);
    if (below(2) != 0) {
      add(below(2) != 0 ? Form::MOV64_X : Form::MOV32_X, t, x);
      add(below(2) != 0 ? Form::RSH64_K : Form::RSH32_K, t, 0, 0, 8);
      add(Form::STX_B, 9, t, static_cast<s16>(at + (below(2) != 0 ? 1 : -1 * (at > -100))));
    } else {
      add(Form::ST_B, 9, 0, static_cast<s16>(at + 1), immediate());
      add(Form::ST_B, 9, 0, static_cast<s16>(at + 2), immediate());
    }
  }
  void memory_access() {
    static const auto loads = forms_of({isa::Family::ldx, isa::Family::ldxsx, isa::Family::load_acquire});
    static const auto stores = forms_of({isa::Family::st, isa::Family::stx, isa::Family::store_release});
    const bool is_load = below(2) != 0;
    const Form form = pick(is_load ? loads : stores);
    const u32 bytes = isa::bytes_of_size(isa::info(form).code);
    const bool stack = below(2) != 0;
    const s16 off = stack
                        ? static_cast<s16>(-static_cast<s32>(bytes) * static_cast<s32>(1 + below(64 / bytes)))
                        : static_cast<s16>(offset(8) / 8 * 8);
    const u8 base = stack ? 10 : 9;
    return is_load ? add(form, any_register(), base, off) : add(form, base, any_register(), off, immediate());
  }
  void atomic() {
    static const auto list = forms_of({isa::Family::atomic});
    add(pick(list), below(2) != 0 ? 10 : 9, any_register(),
        static_cast<s16>(-8 * static_cast<s32>(1 + below(8))));
  }
  Form condition() {
    static const auto list = forms_of({isa::Family::jcond64, isa::Family::jcond32});
    return pick(list);
  }
  void open_jump() {
    open_.push_back(out_.size());
    if (below(6) == 0)
      add(Form::JA);
    else
      add(condition(), any_register(), any_register(), 0, immediate());
  }
  /// A counter on the stack below everything else, so that nothing in the body disturbs it.
  void loop(u32 left) {
    if (in_loop_ || left < 4) return arithmetic();
    in_loop_ = true;
    floor_ = open_.size();  // a jump from outside must not land past the counter's start
    add(Form::ST_DW, 10, 0, -80, static_cast<s32>(1 + below(6)));
    const std::size_t head = out_.size();
    for (u32 i = below(6); i-- > 0;) step(0);
    while (open_.size() > floor_) {
      land(open_.back());
      open_.pop_back();
    }
    const u8 r = any_register();
    add(Form::LDX_DW, r, 10, -80);
    add(Form::SUB64_K, r, 0, 0, 1);
    add(Form::STX_DW, 10, r, -80);
    add(Form::JNE64_K, r, 0, static_cast<s16>(static_cast<s32>(head) - static_cast<s32>(out_.size()) - 1), 0);
    in_loop_ = false;
    floor_ = 0;
  }
  /// A counter in a register, from a constant by a constant to a constant: what unrolling looks for.
  void counted_loop() {
    if (avoid_ != no_register) return arithmetic();
    const u8 counter = static_cast<u8>(6 + below(3));
    constexpr s32 steps[] = {1, 2, 4, 8, -1, -3};
    const s32 start = immediate() / 2, by = steps[below(std::size(steps))];
    const s32 rounds = static_cast<s32>(1 + below(24));
    add(Form::MOV64_K, counter, 0, 0, start);
    avoid_ = counter;
    const std::size_t head = out_.size();
    const u32 add_at = below(4);
    for (u32 i = 0, body = below(4); i <= body; ++i) {
      if (i == add_at) add(Form::ADD64_K, counter, 0, 0, by);
      in_body();
    }
    if (!has_write(head, counter)) add(Form::ADD64_K, counter, 0, 0, by);
    const s16 back = static_cast<s16>(static_cast<s32>(head) - static_cast<s32>(out_.size()) - 1);
    add(Form::JNE64_K, counter, 0, back, start + by * rounds);
    avoid_ = no_register;
  }
  /// A loop over memory whose counter is part of addresses only, left at times by a comparison of an address.
  void walk() {
    if (avoid_ != no_register) return arithmetic();
    const u8 counter = static_cast<u8>(6 + below(3)), t = static_cast<u8>(below(6));
    const u8 u = static_cast<u8>((t + 1) % 6), d = static_cast<u8>((t + 2) % 6),
             sum = static_cast<u8>((t + 3) % 6);
    constexpr s32 steps[] = {1, 2, 4, -1, -3};
    const s32 by = steps[below(std::size(steps))], rounds = static_cast<s32>(1 + below(16)),
              start = below(8) == 0;
    constexpr Form loads[] = {Form::LDX_B, Form::LDX_H, Form::LDX_W, Form::LDX_DW, Form::LDXSX_H};
    add(Form::MOV64_K, counter, 0, 0, start);
    avoid_ = counter;
    const std::size_t head = out_.size();
    std::size_t leave = 0;
    const bool counter_first = below(4) == 0;
    add(Form::MOV64_X, t, counter_first ? counter : 9);
    add(Form::ADD64_X, t, counter_first ? 9 : counter);
    if (below(3) != 0) {
      add(Form::MOV64_X, u, t);
      if (below(4) != 0) add(Form::ADD64_K, u, 0, 0, static_cast<s32>(below(16)) - 4);
      leave = out_.size();
      add(condition(), below(3) != 0 ? u : d, below(2) != 0 ? 9 : sum, 0, immediate());
    }
    const bool into_address = below(3) == 0;
    add(loads[below(std::size(loads))], into_address ? t : d, t, static_cast<s16>(below(16)));
    if (!into_address && below(4) == 0) add(Form::STX_W, t, sum, static_cast<s16>(below(16)));
    if (below(8) == 0) add(Form::ADD64_X, sum, counter);
    add(below(2) != 0 ? Form::ADD64_X : Form::XOR64_X, sum, d);
    if (below(2) != 0) load_constant(t);
    add(Form::ADD64_K, counter, 0, 0, by);
    const s16 back = static_cast<s16>(static_cast<s32>(head) - static_cast<s32>(out_.size()) - 1);
    add(Form::JNE64_K, counter, 0, back, start + by * rounds);
    if (leave != 0) land(leave);
    avoid_ = no_register;
    if (below(2) != 0) add(Form::MOV64_K, counter, 0, 0, immediate());
    add(Form::MOV64_K, t, 0, 0, immediate());
    add(Form::MOV64_K, u, 0, 0, immediate());
  }
  /// rA <<= n; rA >>= m, at times of a copy.
  void idiom_extend() {
    constexpr s32 wide[] = {32, 48, 56, 31, 40}, narrow[] = {16, 24, 8, 0};
    const bool is_wide = below(3) != 0, is_signed = below(2) != 0;
    const s32 n = is_wide ? wide[below(std::size(wide))] : narrow[below(std::size(narrow))];
    const u8 d = any_register();
    if (below(2) != 0) add(below(4) != 0 ? Form::MOV64_X : Form::MOV32_X, d, any_register());
    add(is_wide ? Form::LSH64_K : Form::LSH32_K, d, 0, 0, n);
    const Form right =
        is_wide ? (is_signed ? Form::ARSH64_K : Form::RSH64_K) : (is_signed ? Form::ARSH32_K : Form::RSH32_K);
    add(right, below(8) != 0 ? d : any_register(), 0, 0, below(8) != 0 ? n : n ^ 1);
  }
  /// A jump to a jump with the same operands, or to one that goes on.
  void idiom_thread() {
    const Form first = condition();
    const u8 a = any_register(), b = any_register();
    const s32 imm = immediate();
    add(first, a, b, 1, imm);
    add(Form::ADD64_K, any_register(), 0, 0, immediate());
    if (below(4) == 0) {
      add(Form::JA, 0, 0, 1);
    } else {
      const Form second = below(2) != 0 ? condition() : first;
      const bool same_kind =
          isa::is_reg_source(isa::info(second).code) == isa::is_reg_source(isa::info(first).code);
      add(second, a, same_kind ? b : any_register(), 1, below(4) != 0 ? imm : immediate());
    }
    arithmetic();
    arithmetic();
  }
  /// if condition goto over; goto there; over: ...; there:
  void idiom_unless() {
    add(condition(), any_register(), any_register(), 1, immediate());
    add(Form::JA, 0, 0, 2);
    arithmetic();
    arithmetic();
  }
  [[nodiscard]] bool has_write(std::size_t from, u8 counter) const {
    for (std::size_t i = from; i < out_.size(); ++i)
      if (out_[i].dst == counter && out_[i].code == isa::info(Form::ADD64_K).code) return true;
    return false;
  }
  void in_body() {
    switch (below(6)) {
      case 0:
        return memory_access();
      case 1:
        return idiom_select();
      case 2:
        return idiom_index();
      case 3:
        return open_jump();  // leaves the loop: it lands behind it
      default:
        return arithmetic();
    }
  }
  /// rD = a; if condition goto over; rD = b; over:
  void idiom_select() {
    const u8 to = any_register();
    constexpr s32 values[] = {0, 1, 1, 0, 2, -1, 0x7fffffff};
    add(below(2) != 0 ? Form::MOV64_K : Form::MOV32_K, to, 0, 0, values[below(std::size(values))]);
    add(condition(), any_register(), any_register(), 1, immediate());
    add(below(2) != 0 ? Form::MOV64_K : Form::MOV32_K, to, 0, 0, values[below(std::size(values))]);
  }
  /// t = r9; t += index; t += offset; accesses at t, now and then behind a division that the index does not
  /// live through; t = something else.
  void idiom_index() {
    const u8 index = any_register();
    u8 t = any_register();
    if (t == index) t = static_cast<u8>((t + 1) % 9 == avoid_ ? (t + 2) % 9 : (t + 1) % 9);
    add(Form::AND64_K, index, 0, 0, 0x3f);
    add(Form::MOV64_X, t, 9);
    add(Form::ADD64_X, t, index);
    if (below(2) != 0) add(Form::ADD64_K, t, 0, 0, static_cast<s32>(below(32)) - 64);
    const bool divides = below(3) == 0;
    if (divides) {
      constexpr Form divisions[] = {Form::DIV64_K, Form::MOD64_K, Form::DIV32_K, Form::MOD32_K};
      const u8 divided = any_register();
      if (divided != t && divided != index)
        add(divisions[below(4)], divided, 0, 0, 1 + static_cast<s32>(below(100)));
    }
    constexpr Form loads[] = {Form::LDX_B, Form::LDX_H, Form::LDX_W, Form::LDX_DW, Form::LDXSX_W};
    constexpr Form stores[] = {Form::STX_B, Form::STX_W, Form::STX_DW, Form::ST_H, Form::ST_DW};
    for (u32 i = 0, n = below(3); i <= n; ++i) {
      const s16 off = static_cast<s16>(below(16));
      if (below(2) != 0)
        add(loads[below(std::size(loads))], below(4) == 0 ? t : any_register(), t, off);
      else
        add(stores[below(std::size(stores))], t, any_register(), off, immediate());
      if (out_.back().dst == t && isa::writes_dst(isa::decode(out_.back()))) return;
    }
    load_constant(t);
    if (divides) load_constant(index);
  }
  void helper_call() {
    add(Form::CALL_HELPER, 0, 0, 0, 1);
    reset_arguments();
  }
  void local_call() {
    add(Form::MOV64_X, 1, 9);
    calls_.push_back({out_.size(), below(3)});
    add(Form::CALL_LOCAL);
    reset_arguments();
  }
  /// A call leaves R1 to R5 undefined.
  void reset_arguments() {
    for (u8 r = 1; r <= 5; ++r) add(Form::MOV64_K, r, 0, 0, immediate());
  }

  Source& source_;
  std::vector<isa::Insn> out_;
  std::vector<std::size_t> open_;
  std::size_t floor_ = 0;
  std::vector<Call> calls_;
  static constexpr u8 no_register = 255;
  u32 registers_ = 9;       ///< that any_register() is among
  u8 avoid_ = no_register;  ///< the counter of the loop whose body is being made
  bool is_main_ = true, in_loop_ = false;
};

}  // namespace skep::jit::testing
