// See explain.hpp. The log of a refusal holds one path: each instruction with the registers it changed behind
// a semicolon, source lines before the instructions that they became, jumps as "from A to B: <state>".
#include "cli/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <vector>

#include "base/types.hpp"

namespace skep::cli {
namespace {

struct Step {
  u32 insn = 0;
  std::string_view text;    ///< "r1 = *(u32 *)(r1 +4)"
  std::string_view state;   ///< "R1_w=pkt_end()"; may be empty
  std::string_view source;  ///< "if (data + 14 > end) @ prog.c:12"; empty without line information
};

/// What usually mends a refusal whose last line contains the words.
struct Advice {
  std::string_view words, text;
};
constexpr Advice advices[] = {
    {"invalid access to packet",
     "Compare the pointer plus the size of the access with data_end, and use the pointer only where it is "
     "not beyond; do it "
     "again after every helper that may move the packet."},
    {"invalid mem access 'map_value_or_null'",
     "Compare the result of the lookup with NULL before it is used."},
    {"_or_null'",
     "Compare the pointer with NULL before it is used: whoever returned it may have found nothing."},
    {"invalid mem access 'scalar'",
     "The register holds a number, not a pointer. If it was a packet pointer, a helper that may move the "
     "packet made it one: "
     "load ctx->data and ctx->data_end again. If it was read from memory of the kernel, use "
     "bpf_probe_read_kernel() or CO-RE."},
    {"!read_ok",
     "The register holds nothing on this path: give it a value on every path (calls leave R1 to R5 unset)."},
    {"min value is negative",
     "Make the number unsigned, or compare it with 0 first, so that it cannot be negative here."},
    {"unbounded memory access",
     "Bound the number before it is used: `if (n > MAX) return ...`, or mask it with `n &= MAX - 1`."},
    {"max value is outside of the allowed memory range",
     "The greatest value that the index may have lies outside: compare it with the size first. The compiler "
     "may have checked "
     "a copy of it: keep both the check and the use on one variable, or mask it where it is used."},
    {"invalid access to map value",
     "The access ends beyond the value: bound the offset by the value's size less the size of the access."},
    {"invalid indirect read from stack",
     "Initialise the whole structure, padding too, before a helper reads it."},
    {"offset is outside of the packet",
     "Before it is used, compare the pointer plus the size of the access with data_end; if it was compared, "
     "a variable offset "
     "in it may be too great: bound that with a constant mask first."},
    {"reference leak",
     "What was acquired must be given back on every path to this exit: bpf_sk_release(), "
     "bpf_ringbuf_submit() or "
     "_discard(), ... ; the log at level 1 says \"Unreleased reference\" with the instruction that acquired "
     "it."},
    {"Unreleased reference",
     "What the call at that instruction returned must be given back on every path: bpf_sk_release(), "
     "bpf_ringbuf_submit() or "
     "_discard(), ..."},
    {"reference has not been acquired",
     "Give back what was acquired once, and by the pointer that the call returned."},
    {"back-edge",
     "The loop's end must be provable: count with a constant bound, or use bpf_loop() or bpf_for()."},
    {"infinite loop detected",
     "Nothing changes from one round to the next: the counter must change, and the loop's exit must "
     "depend on it."},
    {"BPF program is too large",
     "A million instructions were walked. Bound loops lower, use bpf_loop() or bpf_for() instead of "
     "unrolling, or split the "
     "program: global functions are verified once, tail calls by themselves."},
    {"The sequence of",
     "Too many branches wait at once: split the program into functions, or into tail calls."},
    {"combined stack size",
     "Use less stack: keep big structures in a per-CPU array, or do not nest so many calls."},
    {"invalid bpf_context access",
     "This program type has no such context field, or not for writing, or not in this size: read whole "
     "fields, with the "
     "types of the uapi header."},
    {"dereference of modified ctx ptr",
     "Access fields of the context by constant offsets from the unchanged pointer."},
    {"variable ctx access", "Access fields of the context by constant offsets only."},
    {"cannot use helper",
     "Another program type has this helper; `skep feature probe` lists what each may call."},
    {"cannot call GPL-restricted function",
     "Declare a license that is compatible with the GPL: char LICENSE[] SEC(\"license\") = "
     "\"GPL\";"},
    {"should have been in", "Return one of the values that the hook knows, on every path."},
    {"misaligned", "Align the access, or read the bytes one by one."},
    {"unreachable insn", "Code that cannot be reached: compile with optimisation, or remove it."},
    {"while holding a lock",
     "Between bpf_spin_lock() and bpf_spin_unlock() only loads, stores and arithmetic are allowed."},
    {"might sleep",
     "Only sleepable programs may call it: a section name with \".s\", where the hook allows that."},
    {"does not have helper", "This is a limit of skep, not of Linux."},
    {"does not support", "This is a limit of skep, not of Linux."},
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.remove_suffix(1);
  return text;
}

/// "12: (61) r2 = *(u32 *)(r1 +4)      ; R1=ctx() R2_w=pkt_end()"
std::optional<Step> parse_step(std::string_view line) {
  Step step;
  std::size_t at = 0;
  while (at < line.size() && std::isdigit(static_cast<unsigned char>(line[at])) != 0)
    step.insn = step.insn * 10 + static_cast<u32>(line[at++] - '0');
  if (at == 0 || line.substr(at, 3) != ": (") return std::nullopt;
  const std::size_t close = line.find(") ", at);
  if (close == std::string_view::npos) return std::nullopt;
  std::string_view rest = line.substr(close + 2);
  const std::size_t semicolon = rest.find(" ;");
  if (semicolon != std::string_view::npos) step.state = trim(rest.substr(semicolon + 2));
  step.text = trim(rest.substr(0, semicolon));
  return step;
}

std::vector<Step> parse_path(std::string_view log) {
  std::vector<Step> path;
  std::string_view source;
  while (!log.empty()) {
    const std::size_t end = log.find('\n');
    const std::string_view line = log.substr(0, end);
    log = end == std::string_view::npos ? std::string_view() : log.substr(end + 1);
    if (line.starts_with("; ")) {
      source = line.substr(2);
    } else if (auto step = parse_step(line)) {
      step->source = source;
      path.push_back(*step);
    }
  }
  return path;
}

using Registers = std::array<bool, 11>;

/// The registers that stand in the instruction; `r1` and `w1` are the same.
Registers registers_in(std::string_view text) {
  Registers found{};
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    if ((text[i] != 'r' && text[i] != 'w') || std::isdigit(static_cast<unsigned char>(text[i + 1])) == 0)
      continue;
    if (i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0) continue;
    u32 number = static_cast<u32>(text[i + 1] - '0');
    if (number == 1 && i + 2 < text.size() && text[i + 2] == '0') number = 10;
    found[number] = true;
  }
  return found;
}

/// The register that the instruction sets; 11: none.
u32 register_set(std::string_view text) {
  if (text.starts_with("call ")) return 0;
  if (text.size() < 4 || (text[0] != 'r' && text[0] != 'w') || text.find(" = ") == std::string_view::npos) {
    const bool assigns = text.size() > 4 && (text[0] == 'r' || text[0] == 'w') && text.find("= ") < 8;
    if (!assigns) return 11;
  }
  if (text[1] < '0' || text[1] > '9') return 11;
  return text[1] == '1' && text[2] == '0' ? 10 : static_cast<u32>(text[1] - '0');
}

/// "R2" of "R1=ctx() R2=scalar(umax=5)": the text behind it, or nothing.
std::string_view value_of(std::string_view state, u32 regno) {
  const std::string name = fmt::format("R{}", regno);
  for (std::size_t at = state.find(name); at != std::string_view::npos; at = state.find(name, at + 1)) {
    if (at != 0 && state[at - 1] != ' ') continue;
    const std::size_t equals = state.find('=', at);
    if (equals == std::string_view::npos || (equals != at + name.size() && state[at + name.size()] != '_'))
      continue;
    int open = 0;
    std::size_t end = equals + 1;
    for (; end < state.size() && (state[end] != ' ' || open > 0); ++end)
      open += state[end] == '(' ? 1 : state[end] == ')' ? -1 : 0;
    return state.substr(equals + 1, end - equals - 1);
  }
  return {};
}

/// A source line, cut to what fits beside the rest; "@ file:line" stays.
std::string short_source(std::string_view source) {
  constexpr std::size_t most = 100;
  const std::size_t at = std::min(source.rfind(" @ "), source.size());
  if (at <= most) return std::string(source);
  return fmt::format("{}...{}", source.substr(0, most), source.substr(at));
}

/// `shown`: the source line of the step told before, which is not repeated.
std::string place_of(const Step& step, std::string_view& shown) {
  if (step.source.empty() || step.source == shown) return fmt::format("insn {}", step.insn);
  shown = step.source;
  return fmt::format("insn {}, `{}`", step.insn, short_source(step.source));
}

/// The steps that gave the registers their values, the last first; what they were made of, too.
std::string history(const std::vector<Step>& path, Registers wanted) {
  std::vector<std::string> lines;
  constexpr std::size_t most = 10;
  std::string_view shown = path.back().source;
  for (std::size_t i = path.size() - 1; i-- > 0 && lines.size() < most;) {
    const Step& step = path[i];
    const Registers used = registers_in(step.text);
    const bool jump = step.text.starts_with("if ");
    const u32 set = register_set(step.text);
    if (jump) {
      bool of_interest = false;
      for (u32 r = 0; r < 10; ++r) of_interest = of_interest || (wanted[r] && used[r]);
      if (!of_interest) continue;
      lines.push_back(fmt::format("  - {}: compared: {}{}{}\n", place_of(step, shown), step.text,
                                  step.state.empty() ? "" : "; then ", step.state));
    } else if (set < 10 && wanted[set]) {
      const std::string_view value = value_of(step.state, set);
      lines.push_back(fmt::format("  - {}: {}{}{}\n", place_of(step, shown), step.text,
                                  value.empty() ? "" : "; R" + std::to_string(set) + " is then ", value));
      const bool updates = step.text.find(" = ") == std::string_view::npos;  // r1 += r2 keeps r1 of interest
      if (!updates) wanted[set] = false;
      if (!step.text.starts_with("call "))
        for (u32 r = 0; r < 10; ++r) wanted[r] = wanted[r] || (used[r] && (r != set || updates));
    }
  }
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

}  // namespace

std::string explain(std::string_view log, std::string_view message) {
  const std::vector<Step> path = parse_path(log);
  std::string text;
  if (!path.empty()) {
    const Step& last = path.back();
    text += fmt::format("refused at insn {}: {}\n", last.insn, last.text);
    if (!last.source.empty()) text += fmt::format("source: {}\n", short_source(last.source));
    text += fmt::format("because: {}\n", message);
    Registers used = registers_in(last.text);
    // Messages name a register that the instruction may not show: arguments of calls.
    if (message.size() > 1 && message[0] == 'R' && std::isdigit(static_cast<unsigned char>(message[1])) != 0)
      used[static_cast<std::size_t>(message[1] - '0')] = true;
    std::string values;
    for (u32 r = 0; r < 10; ++r) {
      if (!used[r]) continue;
      for (std::size_t i = path.size(); i-- > 0;) {
        const std::string_view value = value_of(path[i].state, r);
        if (value.empty()) continue;
        values += fmt::format("  R{} = {} (since insn {})\n", r, value, path[i].insn);
        break;
      }
    }
    if (!values.empty()) text += "values there:\n" + values;
    const std::string steps = history(path, used);
    if (!steps.empty()) text += "what led there, last first:\n" + steps;
  }
  for (const Advice& advice : advices) {
    if (message.find(advice.words) == std::string_view::npos) continue;
    text += fmt::format("what usually mends it: {}\n", advice.text);
    break;
  }
  return text;
}

}  // namespace skep::cli
