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

TEST(BtfDumpC, WritesTheGoldensHeader) {
  Result<std::string> header = c_header(test::btf_of("hello.bpf.o"));
  ASSERT_TRUE(header.has_value()) << header.error().what;
  EXPECT_EQ(*header, golden("083-btf-dump-file-c.stdout"));
}

TEST(BtfDumpC, WritesEveryKindOfTypeAsItWasDeclared) {
  Btf btf = test::btf_of("values.bpf.o");
  std::string text = c_declarations(btf).value();
  for (const char* part :
       {"enum color {\n\tRED = 0,\n\tGREEN = 5,\n\tBLUE = -1,\n};\n\n",
        "enum big {\n\tSMALL = 1ULL,\n\tHUGE = 20015998343868ULL,\n};\n\n", "typedef char letter;\n\n",
        "\tletter letters[2];\n", "union either {\n\t__u32 number;\n\t__u8 bytes[4];\n};\n\n",
        "\t__int128 wide;\n", "\t_Bool yes;\n", "\tvoid *null_pointer;\n", "\tstruct inner *pointer;\n",
        "\tunsigned int bits3: 3;\n\tunsigned int bits7: 7;\n\tunsigned long long bits40: 40;\n",
        "\tint matrix[2][3];\n\tstruct {\n\t\tint anonymous_member;\n\t};\n",
        "\tint (*callback)(struct all *, const char *);\n"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(BtfDumpC, WritesOnlyWhatTheGivenTypesNeed) {
  Btf btf = test::btf_of("values.bpf.o");
  std::vector<u32> ids{btf.find(Kind::union_, "either")};
  std::string text = c_declarations(btf, ids).value();
  EXPECT_NE(text.find("union either {"), std::string::npos);
  EXPECT_EQ(text.find("struct all"), std::string::npos);
}

}  // namespace
}  // namespace skep::btf
