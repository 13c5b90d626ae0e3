// BTF of any bytes: parsed, checked, walked, listed, written as C, and used to print a value.
#include "btf/dump.hpp"
#include "btf/facts.hpp"
#include "btf/print.hpp"
#include "btf/record.hpp"

namespace {

class Discard : public skep::btf::Writer {
 public:
  void begin_object() override {}
  void end_object() override {}
  void begin_array() override {}
  void end_array() override {}
  void name(std::string_view) override {}
  void string(std::string_view) override {}
  void raw(std::string_view) override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skep;
  ByteView bytes = std::as_bytes(std::span(data, size));
  Result<btf::Btf> btf = btf::Btf::parse({bytes.begin(), bytes.end()}, nullptr, btf::Checks::structure);
  if (!btf) return 0;
  (void)btf::check_as_kernel(*btf);
  (void)btf::raw_text(*btf);
  (void)btf::c_header(*btf);
  std::vector<std::byte> value(256);
  Discard out;
  for (u32 id = 0; id <= btf->type_count() && id < 64; ++id) {
    (void)btf::print_value(*btf, id, value, out, {.plain = id % 2 == 0});
    (void)btf::type_text(*btf, id);
    (void)btf::find_fields(*btf, id, ~0u, static_cast<u32>(btf->size_of(id).value_or(0)));
    (void)btf->size_of(id);
  }
  return 0;
}
