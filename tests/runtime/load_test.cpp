// The load pipeline: tags, and whole programs against what the kernel said of them.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/load.hpp"
#include "runtime/sha.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::runtime {
namespace {

std::string hex(std::span<const u8> bytes) {
  std::string text;
  for (const u8 byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

TEST(Sha, EqualsThePublishedExamples) {
  const std::string_view two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  EXPECT_EQ(hex(sha256(bytes_of(std::string_view("abc")))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256(bytes_of(two_blocks))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(sha1(bytes_of(std::string_view("abc")))), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex(sha1({})), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(hex(sha1(bytes_of(two_blocks))), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

std::vector<isa::Insn> insns_of(const std::string& text) {
  std::vector<isa::Insn> insns(text.size() / 16);
  for (std::size_t i = 0; i < insns.size() * 8; ++i)
    reinterpret_cast<u8*>(insns.data())[i] = static_cast<u8>(std::stoul(text.substr(i * 2, 2), nullptr, 16));
  return insns;
}

nlohmann::json golden_cases() {
  std::ifstream file(std::string(SKEP_GOLDEN_DIR) + "/verifier/cases.json");
  return nlohmann::json::parse(file);
}

u64 number(const std::string& tag) { return std::stoull(tag, nullptr, 16); }

TEST(ProgramTag, EqualsTheKernelsForEveryGoldenProgram) {
  int checked = 0;
  for (const auto& golden : golden_cases()) {
    if (golden.at("tag").is_null()) continue;
    EXPECT_EQ(program_tag(insns_of(golden.at("insns")), TagHash::sha256), number(golden.at("tag")))
        << golden.at("name");
    ++checked;
  }
  EXPECT_GT(checked, 100);
}

/// Programs without maps: what loads, with which tag, and what is refused, with which errno.
TEST(LoadPipeline, DecidesAsTheKernelForGoldenProgramsWithoutMaps) {
  const auto kernel = UserKernel::create({});
  ASSERT_TRUE(kernel.has_value());
  int checked = 0;
  for (const auto& golden : golden_cases()) {
    if (golden.at("type") != "xdp" || golden.at("flags") != 0) continue;
    ProgramSpec spec;
    spec.type = ProgType::xdp;
    spec.insns = insns_of(golden.at("insns"));
    spec.license = golden.at("license").get<std::string>();
    if (std::ranges::any_of(spec.insns, [](const isa::Insn& i) { return i.code == 0x18 && i.src != 0; }))
      continue;
    if (golden.at("name") == "helper-fib") continue;  // skep has no bpf_fib_lookup()
    const auto loaded = (*kernel)->prog_load(spec);
    const int expected = golden.at("errno").get<int>();
    EXPECT_EQ(loaded ? 0 : loaded.error().code, expected)
        << golden.at("name") << ": " << (loaded ? "" : loaded.error().what);
    ++checked;
    if (!loaded || expected != 0) continue;
    const auto info = (*kernel)->prog_info(loaded->fd());
    EXPECT_EQ(info->tag, number(golden.at("tag"))) << golden.at("name");
    EXPECT_EQ(info->verified_insns, golden.at("verified_insns").get<u32>()) << golden.at("name");
    if (golden.at("name") == "may-goto") continue;  // the engines count, not the rewritten code
    EXPECT_EQ(info->xlated_len, golden.at("xlated").get<std::string>().size() / 2) << golden.at("name");
  }
  EXPECT_GT(checked, 80);
}

TEST(LoadPipeline, TagsAreSha1ByProfile) {
  Config config;
  config.tag_hash = TagHash::sha1;
  const auto kernel = UserKernel::create(config);
  ASSERT_TRUE(kernel.has_value());
  ProgramSpec spec;
  spec.type = ProgType::xdp;
  spec.license = "GPL";
  spec.insns = insns_of("b7000000020000009500000000000000");
  const auto loaded = (*kernel)->prog_load(spec);
  ASSERT_TRUE(loaded.has_value());
  // The tag that every kernel before 6.18 shows for `return XDP_PASS`.
  EXPECT_EQ((*kernel)->prog_info(loaded->fd())->tag, 0x3b185187f1855c4cu);
}

TEST(LoadPipeline, SaysWhenAHelperIsMissingFromSkepAndNotFromTheKernel) {
  const auto kernel = UserKernel::create({});
  ProgramSpec spec;
  spec.type = ProgType::xdp;
  spec.license = "GPL";
  spec.insns =
      insns_of("b701000009000000850000006d000000b7000000020000009500000000000000");  // bpf_send_signal(9)
  const auto refused = (*kernel)->prog_load(spec);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, EOPNOTSUPP);
  EXPECT_NE(refused.error().what.find("skep does not have helper bpf_send_signal"), std::string::npos)
      << refused.error().what;
}

TEST(LoadPipeline, ShowsMachineCodeWhereThereIsSome) {
  for (const bool no_jit : {false, true}) {
    Config config;
    config.no_jit = no_jit;
    const auto kernel = UserKernel::create(config);
    ProgramSpec spec;
    spec.type = ProgType::xdp;
    spec.license = "GPL";
    spec.insns = insns_of("b7000000020000009500000000000000");
    const auto loaded = (*kernel)->prog_load(spec);
    ASSERT_TRUE(loaded.has_value());
    const auto info = *(*kernel)->prog_info(loaded->fd());
    EXPECT_EQ(info.jited.size(), info.jited_len);
    EXPECT_EQ(info.jited_ksyms.size(), 1u);
    if (no_jit) {
      EXPECT_EQ(info.jited_len, 0u);
    }
    const auto symbols = *(*kernel)->symbols();
    const auto found = std::ranges::find(symbols.symbols, info.jited_ksyms[0], &Symbol::address);
    ASSERT_NE(found, symbols.symbols.end());
    EXPECT_TRUE(found->name.starts_with("bpf_prog_")) << found->name;
  }
}

TEST(UserKernel, OneInstanceHasTheDirectory) {
  std::string directory = "/tmp/skep-runtime-XXXXXX";
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  Config config;
  config.directory = directory;
  {
    const auto first = UserKernel::create(config);
    ASSERT_TRUE(first.has_value()) << first.error().what;
    const auto second = UserKernel::create(config);
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, EBUSY);
  }
  EXPECT_TRUE(UserKernel::create(config).has_value()) << "free again";
  std::filesystem::remove_all(directory);
}

TEST(UserKernel, DirectoriesThatCannotBeMadeAreNamed) {
  Config config;
  config.directory = "/proc/nowhere/skep";
  const auto kernel = UserKernel::create(config);
  ASSERT_FALSE(kernel.has_value());
  EXPECT_NE(kernel.error().what.find("/proc/nowhere/skep"), std::string::npos);
}

}  // namespace
}  // namespace skep::runtime
