// Listings against those captured from bpftool 7.7.
#include "btf/dump.hpp"

#include <nlohmann/json.hpp>

#include "btf/objects.hpp"
#include "btf/text_writer.hpp"

namespace skep::btf {
namespace {

std::string golden(const std::string& name) {
  Result<std::string> text = read_file(std::string(SKEP_GOLDEN_DIR) + "/bpftool-v7.7.0/" + name);
  EXPECT_TRUE(text.has_value()) << text.error().what;
  return text.value_or("");
}

TEST(BtfDump, ListsAnObjectAsTheGoldenDoes) {
  EXPECT_EQ(raw_text(test::btf_of("hello.bpf.o")), golden("082-btf-dump-file.stdout"));
}

TEST(BtfDump, ListsAsJsonWithTheGoldensFields) {
  test::TextWriter out;
  raw_json(test::btf_of("hello.bpf.o"), out);
  auto ours = nlohmann::ordered_json::parse(out.text);
  auto theirs = nlohmann::ordered_json::parse(golden("079-btf-dump-id-json.stdout"));
  for (auto& type : theirs["types"]) {
    if (type["kind"] == "DATASEC")
      type["size"] = 0;  // the golden is of loaded BTF, whose sections have sizes
  }
  EXPECT_EQ(ours, theirs);
}

TEST(BtfDump, ListsOneTypeByItsId) {
  Btf btf = test::btf_of("hello.bpf.o");
  std::vector<u32> ids{3};
  EXPECT_EQ(raw_text(btf, ids), "[3] TYPEDEF '__u32' type_id=4\n");
}

TEST(BtfDump, ListsBitFieldsEnumsAndFloats) {
  std::string text = raw_text(test::btf_of("values.bpf.o"));
  EXPECT_NE(text.find("'bits7' type_id="), std::string::npos);
  EXPECT_NE(text.find("bitfield_size=7"), std::string::npos);
  EXPECT_NE(
      text.find(
          "ENUM 'color' encoding=SIGNED size=4 vlen=3\n\t'RED' val=0\n\t'GREEN' val=5\n\t'BLUE' val=-1\n"),
      std::string::npos);
  EXPECT_NE(text.find("ENUM64 'big' encoding=UNSIGNED size=8 vlen=2\n\t'SMALL' val=1ULL\n"),
            std::string::npos);
  EXPECT_NE(text.find("FLOAT 'double' size=8\n"), std::string::npos);
}

}  // namespace
}  // namespace skep::btf
