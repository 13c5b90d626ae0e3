// `dump xlated ... visual`: functions, their basic blocks and the edges among them, in DOT. Unlike bpftool's,
// the source lines of every function are its own, and gotol is followed to where it goes.
#include <map>
#include <set>

#include "cli/xlated_view.hpp"

namespace skep::cli {

namespace {

constexpr int kEntry = 0;
constexpr int kExit = 1;
constexpr int kFirstBlock = 2;

/// Instructions first..last of a function, by number.
struct Block {
  u32 first = 0;
  u32 last = 0;
  std::vector<u32> successors;  ///< first instructions of blocks; none of the function: its exit
};

struct Function {
  u32 first = 0;
  u32 last = 0;
  std::vector<Block> blocks;
};

bool is_jump(const isa::Insn& insn) {
  const u8 c = isa::class_of(insn.code);
  return c == isa::op::JMP || c == isa::op::JMP32;
}

/// A jump within the function: neither exit nor call.
bool is_local_jump(const isa::Insn& insn) {
  const u8 o = isa::op_of(insn.code);
  return is_jump(insn) && o != isa::op::EXIT && o != isa::op::CALL;
}

bool is_goto(const isa::Insn& insn) { return is_jump(insn) && isa::op_of(insn.code) == isa::op::JA; }

s64 target_of(const isa::Insn& insn, u32 at) {
  const bool far = is_goto(insn) && isa::class_of(insn.code) == isa::op::JMP32;  // gotol
  return s64{at} + 1 + (far ? s64{insn.imm} : s64{insn.off});
}

class Graph {
 public:
  explicit Graph(const XlatedView& view) : view_(view) {
    for (const XlatedLine& line : view.lines) lines_[line.index] = &line;
    split_functions();
    for (Function& function : functions) split_blocks(function);
  }

  std::vector<Function> functions;

  [[nodiscard]] const XlatedLine* line_at(u32 index) const {
    const auto it = lines_.find(index);
    return it == lines_.end() ? nullptr : it->second;
  }

 private:
  void split_functions() {
    const auto count = static_cast<u32>(view_.insns.size());
    if (count == 0) return;
    std::set<u32> starts{0};
    for (const XlatedLine& line : view_.lines) {
      const bool calls =
          line.insn.code == (isa::op::JMP | isa::op::CALL) && line.insn.src == uapi::PSEUDO_CALL;
      const s64 callee = s64{line.index} + 1 + line.insn.off;
      if (calls && callee > 0 && callee < count) starts.insert(static_cast<u32>(callee));
    }
    for (const u32 start : starts) {
      if (!functions.empty()) functions.back().last = start - 1;
      functions.push_back({start, count - 1, {}});
    }
  }

  void split_blocks(Function& function) {
    std::set<u32> heads{function.first};
    const auto within = [&](s64 at) { return at >= function.first && at <= function.last; };
    for (u32 at = function.first; at <= function.last; ++at) {
      const XlatedLine* line = line_at(at);
      if (line == nullptr || !is_local_jump(line->insn)) continue;
      if (const s64 target = target_of(line->insn, at); within(target))
        heads.insert(static_cast<u32>(target));
      if (!is_goto(line->insn) && within(s64{at} + 1)) heads.insert(at + 1);
    }
    for (const u32 head : heads) {
      if (!function.blocks.empty()) function.blocks.back().last = head - 1;
      function.blocks.push_back({head, function.last, {}});
    }
    for (Block& block : function.blocks) connect(block);
  }

  void connect(Block& block) {
    const isa::Insn& last = view_.insns[block.last];
    const bool ends_in_jump = line_at(block.last) != nullptr && is_local_jump(last);
    if (!ends_in_jump || !is_goto(last)) block.successors.push_back(block.last + 1);
    if (ends_in_jump) block.successors.push_back(static_cast<u32>(target_of(last, block.last)));
  }

  const XlatedView& view_;
  std::map<u32, const XlatedLine*> lines_;
};

std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// A path in at most 32 characters if its base name allows, cut at a slash.
std::string short_path(const std::string& path) {
  constexpr std::size_t limit = 32;
  if (path.size() <= limit) return path;
  auto slash = path.find('/', path.size() - limit);
  if (slash != std::string::npos && slash < 3) return path;
  if (slash == std::string::npos) slash = path.rfind('/');
  return slash == std::string::npos ? path : "..." + path.substr(slash);
}

class Drawing {
 public:
  Drawing(Cli& cli, const XlatedView& view, const XlatedOptions& options)
      : cli_(cli), graph_(view), options_(options) {}

  void draw() {
    cli_.print("digraph \"DOT graph for eBPF program\" {{\n");
    for (std::size_t i = 0; i < graph_.functions.size(); ++i) draw_function(i, graph_.functions[i]);
    cli_.print("}}\n");
  }

 private:
  static constexpr std::string_view kLabelSpecial = "\\\"{}<>| ";
  static constexpr std::string_view kInsnSpecial = "<>|&";

  void draw_function(std::size_t number, const Function& function) {
    cli_.print(
        "subgraph \"cluster_{0}\" {{\n\tstyle=\"dashed\";\n\tcolor=\"black\";\n\tlabel=\"func_{0} ()\";\n",
        number);
    node(number, kEntry, "Mdiamond", "ENTRY");
    for (std::size_t i = 0; i < function.blocks.size(); ++i)
      node(number, kFirstBlock + static_cast<int>(i), "record",
           "{\\\n" + block_text(function, function.blocks[i]) + "}");
    node(number, kExit, "Mdiamond", "EXIT");
    if (!function.blocks.empty()) edge(number, kEntry, kFirstBlock);
    for (std::size_t i = 0; i < function.blocks.size(); ++i)
      for (const u32 to : function.blocks[i].successors)
        edge(number, kFirstBlock + static_cast<int>(i), block_number(function, to));
    // Keeps ENTRY above EXIT.
    cli_.print("\tfn_{0}_bb_{1}:s -> fn_{0}_bb_{2}:n [style=\"invis\", constraint=true];\n}}\n", number,
               kEntry, kExit);
  }

  static int block_number(const Function& function, u32 first) {
    for (std::size_t i = 0; i < function.blocks.size(); ++i)
      if (function.blocks[i].first == first) return kFirstBlock + static_cast<int>(i);
    return kExit;
  }

  void node(std::size_t function, int block, std::string_view shape, std::string_view label) {
    cli_.print("\tfn_{}_bb_{} [shape={},style=filled,label=\"{}\"];\n\n", function, block, shape, label);
  }

  void edge(std::size_t function, int from, int to) {
    cli_.print(
        "\tfn_{0}_bb_{1}:s -> fn_{0}_bb_{2}:n [style=\"solid,bold\", color=black, weight=10, "
        "constraint=true];\n",
        function, from, to);
  }

  std::string block_text(const Function& function, const Block& block) {
    std::string text;
    u32 last_source = 0;
    bool first = true;
    for (u32 at = block.first; at <= block.last; ++at) {
      const XlatedLine* line = graph_.line_at(at);
      if (line == nullptr) continue;
      if (!first) text += "| ";
      first = false;
      if (!line->prototype.empty()) text += fmt::format("; {}:\\l\\\n", line->prototype);
      if (line->source_here && line->source_number != last_source) {
        last_source = line->source_number;
        text += source_label(*line->source_here);
      }
      text += fmt::format("{}: {}\\l\\\n", at - function.first, escaped(line->text, kInsnSpecial));
      if (options_.opcodes) {
        text += "\\ \\ \\ \\ " + hex_bytes(bytes_of(line->insn));
        if (line->second) text += " " + hex_bytes(bytes_of(*line->second));
        text += "\\l\\\n";
      }
    }
    return text;
  }

  [[nodiscard]] std::string source_label(const SourceLine& source) const {
    if (source.text.empty()) return {};
    std::string text;
    if (options_.linum)
      text += fmt::format("; [{} line:{} col:{}]\\l\\\n", escaped(short_path(source.file), kLabelSpecial),
                          source.line, source.column);
    return text + fmt::format("; {}\\l\\\n", escaped(source.text, kLabelSpecial));
  }

  Cli& cli_;
  Graph graph_;
  XlatedOptions options_;
};

}  // namespace

void print_xlated_graph(Cli& cli, const XlatedView& view, const XlatedOptions& options) {
  Drawing(cli, view, options).draw();
}

}  // namespace skep::cli
