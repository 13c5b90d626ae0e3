// The map verbs against a real UserKernel, in the words recorded of bpftool.
#include <nlohmann/json.hpp>

#include "cli/fixture.hpp"

namespace skep::cli::test {
namespace {

using Maps = CommandLine;

constexpr const char* kCreate =
    "bpftool map create /sys/fs/bpf/m1 type hash key 4 value 8 entries 16 name m1";

TEST_F(Maps, ASessionIsAsRecorded) {
  for (const char* name :
       {"005-map-list-empty", "006-map-list-empty-json", "183-map-create", "185-map-create-update",
        "186-map-create-update-noexist", "187-map-create-update-exist-missing", "188-map-create-dump",
        "189-map-create-dump-json", "190-map-create-dump-pretty", "191-map-create-lookup-missing",
        "192-map-create-delete-missing", "195-map-create-dup", "196-map-create-badtype",
        "132-map-dump-missing", "133-map-dump-missing-id", "134-map-show-missing-id"}) {
    const std::string golden = name;
    const Ran ran = run(read_golden(golden + ".cmd"));
    EXPECT_EQ(ran.out, read_golden(golden + ".stdout")) << golden;
    EXPECT_EQ(ran.err, read_golden(golden + ".stderr")) << golden;
    EXPECT_EQ(ran.status, std::stoi(read_golden(golden + ".exit"))) << golden;
  }
}

TEST_F(Maps, ListAndShowAgree) {
  ASSERT_EQ(run(kCreate).status, 0);
  const Ran list = run("bpftool map list");
  EXPECT_EQ(list.out, run("bpftool map show name m1").out);
  EXPECT_EQ(list.out, run("bpftool map show pinned /sys/fs/bpf/m1").out);
  const auto json = nlohmann::json::parse(run("bpftool -j map list").out);
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["name"], "m1");
  EXPECT_EQ(json[0]["type"], "hash");
  EXPECT_EQ(json[0]["bytes_key"], 4);
  EXPECT_EQ(list.out, run("bpftool map show id " + json[0]["id"].dump()).out);
}

TEST_F(Maps, PinnedPathsAreShownWithF) {
  ASSERT_EQ(run(kCreate).status, 0);
  EXPECT_EQ(run("bpftool map list").out.find("pinned"), std::string::npos);
  EXPECT_NE(run("bpftool -f map list").out.find("\n\tpinned /sys/fs/bpf/m1\n"), std::string::npos);
  const auto json = nlohmann::json::parse(run("bpftool -j -f map list").out);
  EXPECT_EQ(json[0]["pinned"], nlohmann::json::array({"/sys/fs/bpf/m1"}));
}

TEST_F(Maps, OfEachCpuShowAValueOfEach) {
  ASSERT_EQ(run("bpftool map create /sys/fs/bpf/m2 type percpu_array key 4 value 4 entries 2 name m2").status,
            0);
  ASSERT_EQ(run("bpftool map update name m2 key 1 0 0 0 value 7 0 0 0").status, 0);
  EXPECT_EQ(
      run("bpftool map dump name m2").out,
      "key:\n00 00 00 00\nvalue (CPU 00): 00 00 00 00\nvalue (CPU 01): 00 00 00 00\n"
      "key:\n01 00 00 00\nvalue (CPU 00): 07 00 00 00\nvalue (CPU 01): 07 00 00 00\nFound 2 elements\n");
  const auto json = nlohmann::json::parse(run("bpftool -j map lookup name m2 key 1 0 0 0").out);
  EXPECT_EQ(json["values"][1]["value"][0], "0x07");
}

TEST_F(Maps, KeysAreCheckedBeforeTheKernelIsAsked) {
  ASSERT_EQ(run(kCreate).status, 0);
  const std::pair<const char*, const char*> cases[] = {
      {"map lookup name m1 key 0 0", "Error: key expected 4 bytes got 2\n"},
      {"map lookup name m1 key 0 0 0 zz", "Error: error parsing byte: zz\n"},
      {"map lookup name m1 key 0 0 0 256", "Error: error parsing byte: 256 is more than a byte holds\n"},
      {"map lookup name m1", "Error: did not find key\n"},
      {"map update name m1 key 0 0 0 0", "Error: did not find value\n"},
      {"map update name m1 key 0 0 0 0 key 0 0 0 0", "Error: duplicate key\n"},
      {"map update name m1 key 0 0 0 0 value 0 0 0 0 0 0 0 0 any any",
       "Error: flags specified multiple times: any\n"},
      {"map update name m1 nonsense", "Error: expected key or value, got: nonsense\n"},
      {"map lookup id abc key 0 0 0 0", "Error: can't parse abc as ID\n"},
      {"map lookup nosuch m1 key 0 0 0 0", "Error: expected 'id', 'name' or 'pinned', got: 'nosuch'?\n"},
  };
  for (const auto& [line, error] : cases) {
    const Ran ran = run(std::string("bpftool ") + line);
    EXPECT_EQ(ran.err, error) << line;
    EXPECT_EQ(ran.status, 255) << line;
    EXPECT_EQ(ran.out, "") << line;
  }
  EXPECT_EQ(run("bpftool map dump name m1").out, "Found 0 elements\n");
}

TEST_F(Maps, KeysMayBeHexadecimal) {
  ASSERT_EQ(run(kCreate).status, 0);
  ASSERT_EQ(run("bpftool map update name m1 key hex 0a 0b 0c ff value 1 2 3 4 5 6 7 0x08").status, 0);
  EXPECT_EQ(run("bpftool map dump name m1").out,
            "key: 0a 0b 0c ff  value: 01 02 03 04 05 06 07 08\nFound 1 element\n");
}

TEST_F(Maps, FrozenOnesAreNotWritten) {
  ASSERT_EQ(run("bpftool map create /sys/fs/bpf/a type array key 4 value 4 entries 1 name a").status, 0);
  ASSERT_EQ(run("bpftool map freeze name a").status, 0);
  const Ran ran = run("bpftool map update name a key 0 0 0 0 value 1 0 0 0");
  EXPECT_EQ(ran.err, "Error: update failed: Operation not permitted\n");
  EXPECT_EQ(ran.status, 255);
}

TEST_F(Maps, PinsAreCheckedBeforeAnythingIsPinned) {
  EXPECT_EQ(run("bpftool map create /sys/fs/bpf/no/x type hash key 4 value 4 entries 1 name x").err,
            "Error: can't pin BPF object: dir '/sys/fs/bpf/no' doesn't exist\n");
  EXPECT_EQ(run("bpftool -n map create " + directory_ + "/x type hash key 4 value 4 entries 1 name x").err,
            "Error: no BPF file system found, not mounting it due to --nomount option\n");
  EXPECT_NE(run("bpftool map create " + directory_ + "/x type hash key 4 value 4 entries 1 name x").status,
            0);
  EXPECT_EQ(run("bpftool map list").out, "");
  EXPECT_EQ(run("bpftool map show pinned /etc/passwd").err,
            "Error: bpf obj get (/etc): directory not in bpf file system (bpffs)\n");
}

TEST_F(Maps, ABatchStopsAtItsFirstFailure) {
  const std::string file = directory_ + "/batch";
  std::ofstream(file)
      << "# a comment\nmap create /sys/fs/bpf/b type hash key 4 value 4 \\\n entries 2 name b\n"
         "map update name b key 1 0 0 0 value 2 0 0 0\nmap lookup name b key 9 0 0 0\nmap list\n";
  const Ran ran = run("bpftool -j batch file " + file);
  EXPECT_EQ(ran.status, 254);
  const auto json = nlohmann::json::parse(ran.out);
  ASSERT_EQ(json.size(), 3u);
  EXPECT_EQ(json[1]["command"][1], "update");
  EXPECT_EQ(json[2]["output"], nullptr);
  EXPECT_EQ(run("bpftool batch file /nosuch").err,
            "Error: Can't open file (/nosuch): No such file or directory\n");
}

}  // namespace
}  // namespace skep::cli::test
