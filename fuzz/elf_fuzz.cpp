// Object files of any bytes, as read_object() takes them.
#include "loader/object.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skep;
  Result<loader::ObjectSpec> spec = loader::read_object(std::as_bytes(std::span(data, size)), "fuzz.o");
  if (!spec && spec.error().what.empty()) __builtin_trap();  // a refusal says why
  return 0;
}
