// Any bytes as a program, and as assembler text: decoding, printing and reading back must agree and never
// read outside the input.
#include <cstdlib>
#include <cstring>

#include "isa/asm.hpp"
#include "isa/disasm.hpp"
#include "isa/form.hpp"

using namespace skep;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  std::vector<isa::Insn> insns(size / sizeof(isa::Insn));
  if (!insns.empty()) std::memcpy(static_cast<void*>(insns.data()), data, insns.size() * sizeof(isa::Insn));
  for (std::size_t i = 0; i < insns.size(); ++i) {
    const std::string text = isa::disassemble(std::span(insns).subspan(i));
    const isa::Form form = isa::decode(insns[i]);
    if (text.empty()) std::abort();
    // Symbols stand for what is not in the text: calls of kernel functions, pseudo immediates.
    if (form == isa::Form::invalid || form == isa::Form::CALL_KFUNC || isa::is_ld_imm64(insns[i])) continue;
    const auto back = isa::assemble(text);
    if (!back || isa::disassemble(*back) != text) std::abort();
  }
  if (const auto forms = isa::decode_program(insns); forms && forms->forms.size() != insns.size())
    std::abort();
  const auto text = isa::assemble({reinterpret_cast<const char*>(data), size});
  if (!text && text.error().what.empty()) std::abort();
  return 0;
}
