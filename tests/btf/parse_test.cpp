// What parse() takes and refuses: real BTF, BTF built by hand one mistake at a time, and every truncation.
#include <unistd.h>

#include "btf/objects.hpp"

namespace skep::btf {
namespace {

/// Builds raw BTF: types as words, strings by name.
class Raw {
 public:
  u32 name(std::string_view text) {
    if (text.empty()) return 0;
    auto at = static_cast<u32>(strings_.size());
    strings_ += text;
    strings_ += '\0';
    return at;
  }
  Raw& words(std::initializer_list<u32> words) {
    types_.insert(types_.end(), words);
    return *this;
  }
  Raw& type(std::string_view text, Kind kind, u32 vlen, u32 size_or_type,
            std::initializer_list<u32> more = {}, bool flag = false) {
    words({name(text), (static_cast<u32>(kind) << 24) | vlen | (flag ? 1u << 31 : 0), size_or_type});
    return words(more);
  }
  Raw& int_type(std::string_view text = "int", u32 size = 4) {
    return type(text, Kind::int_, 0, size, {size * 8 | 1u << 24});
  }
  std::vector<std::byte> bytes() const {
    auto types = static_cast<u32>(types_.size() * 4), strings = static_cast<u32>(strings_.size());
    std::vector<u32> header{0x0001eb9f, 24, 0, types, types, strings};
    header.insert(header.end(), types_.begin(), types_.end());
    std::vector<std::byte> out(header.size() * 4 + strings);
    std::memcpy(out.data(), header.data(), header.size() * 4);
    std::memcpy(out.data() + header.size() * 4, strings_.data(), strings);
    return out;
  }
  Result<Btf> parse(Checks checks = Checks::kernel) const { return Btf::parse(bytes(), nullptr, checks); }
  std::string refusal() const {
    Result<Btf> btf = parse();
    return btf ? "accepted" : std::to_string(btf.error().code) + " " + btf.error().what;
  }

 private:
  std::vector<u32> types_;
  std::string strings_ = std::string(1, '\0');
};

TEST(BtfParse, ReadsTheTypesOfAClangObject) {
  Btf btf = test::btf_of("hello.bpf.o");
  ASSERT_EQ(btf.type_count(), 18u);
  EXPECT_EQ(btf.name(2), "xdp_md");
  const Type& xdp_md = btf.type(2);
  EXPECT_EQ(xdp_md.size, 24u);
  ASSERT_EQ(btf.entries(xdp_md).size(), 6u);
  EXPECT_EQ(btf.string(btf.entries(xdp_md)[5].name_off), "egress_ifindex");
  EXPECT_EQ(btf.entries(xdp_md)[5].bit_offset, 160u);
  EXPECT_EQ(btf.find(Kind::func, "hello"), 7u);
  EXPECT_EQ(btf.find(Kind::var, "hello"), 0u);
  EXPECT_EQ(btf.skip_modifiers(3), 4u);
  EXPECT_EQ(btf.size_of(11).value_or(0), 15u);
  EXPECT_EQ(btf.size_of(1).value_or(0), 8u);
  EXPECT_FALSE(btf.size_of(7).has_value());
  EXPECT_EQ(btf.type(0).kind, Kind::void_);
  EXPECT_EQ(btf.type(99).kind, Kind::void_);
}

TEST(BtfParse, KernelChecksRefuseAnObjectsUnfinishedDatasec) {
  Result<Btf> btf = Btf::parse(test::btf_bytes("hello.bpf.o"));
  ASSERT_FALSE(btf.has_value());
  EXPECT_EQ(btf.error().code, EINVAL);
  EXPECT_EQ(btf.error().what, "BTF type [16] DATASEC '.bss': size == 0");
}

TEST(BtfParse, TakesTheRunningKernelsOwnBtf) {
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) GTEST_SKIP() << "no /sys/kernel/btf/vmlinux here";
  std::string text = read_file("/sys/kernel/btf/vmlinux").value();
  ByteView bytes = bytes_of(text);
  Result<Btf> btf = Btf::parse({bytes.begin(), bytes.end()}, nullptr, Checks::structure);
  ASSERT_TRUE(btf.has_value()) << btf.error().what;
  EXPECT_GT(btf->type_count(), 10000u);
  u32 task = btf->find(Kind::struct_, "task_struct");
  ASSERT_NE(task, 0u);
  EXPECT_GT(btf->size_of(task).value_or(0), 1000u);
}

TEST(BtfParse, RefusesWhatTheKernelRefuses) {
  EXPECT_EQ(Raw().int_type().refusal(), "accepted");
  EXPECT_EQ(Raw().refusal(), "22 BTF: No type found");
  EXPECT_EQ(Raw().int_type("1int").refusal(), "accepted");  // an INT's name is not checked
  EXPECT_EQ(Raw().type("int", Kind::int_, 0, 4, {33}).refusal(),
            "22 BTF type [1]: nr_bits exceeds type_size");
  EXPECT_EQ(Raw().type("int", Kind::int_, 0, 4, {32 | 3u << 24}).refusal(),
            "524 BTF type [1] INT 'int': Unsupported encoding");
  EXPECT_EQ(Raw().type("int", Kind::int_, 1, 4, {32}).refusal(), "22 BTF type [1]: vlen != 0");
  EXPECT_EQ(Raw().type("p", Kind::ptr, 0, 0).refusal(), "22 BTF type [1] PTR 'p': Invalid name");
  EXPECT_EQ(Raw().type("", Kind::ptr, 0, 2).refusal(), "22 BTF type [1] PTR: Invalid type_id");
  EXPECT_EQ(Raw().type("", Kind::typedef_, 0, 0).refusal(), "22 BTF type [1] TYPEDEF '': Invalid name");
  EXPECT_EQ(Raw().type("f", Kind::float_, 0, 5).refusal(), "22 BTF type [1] FLOAT 'f': Invalid type_size");
  EXPECT_EQ(Raw().int_type().type("e", Kind::enum_, 0, 3).refusal(),
            "22 BTF type [2] ENUM 'e': Unexpected size");
  EXPECT_EQ(Raw().int_type().type("", Kind::array, 0, 0, {1, 1, 0xffffffff}).refusal(),
            "22 BTF type [2] ARRAY '': Array size overflows U32_MAX");
  EXPECT_EQ(Raw().int_type().type("v", Kind::var, 0, 1, {2}).refusal(),
            "22 BTF type [2] VAR 'v': Linkage not supported");
}

TEST(BtfParse, ChecksStructMembers) {
  auto with_member = [](u32 size, u32 type, u32 offset) {
    Raw raw;
    raw.int_type();
    u32 m = raw.name("m");
    return raw.type("s", Kind::struct_, 1, size, {m, type, offset}).refusal();
  };
  EXPECT_EQ(with_member(4, 1, 0), "accepted");
  EXPECT_EQ(with_member(4, 0, 0), "22 BTF type [2] STRUCT 's': Invalid member type_id");
  EXPECT_EQ(with_member(4, 9, 0), "22 BTF type [2] STRUCT: Invalid type_id");
  EXPECT_EQ(with_member(4, 1, 8), "22 BTF type [2] STRUCT 's': Member exceeds struct_size");
  EXPECT_EQ(with_member(4, 1, 64), "22 BTF type [2] STRUCT 's': Member bits_offset exceeds its struct size");
  EXPECT_EQ(with_member(4, 2, 0), "17 BTF type [2] STRUCT 's': Loop detected");
}

TEST(BtfParse, RefusesLoopsAndEndlessChains) {
  EXPECT_EQ(Raw().type("", Kind::ptr, 0, 2).type("", Kind::const_, 0, 1).refusal(),
            "17 BTF type [1] PTR '': Loop detected");
  EXPECT_EQ(Raw().type("", Kind::const_, 0, 1).refusal(), "17 BTF type [1] CONST '': Loop detected");
  Raw deep;
  for (u32 i = 1; i <= 40; ++i) deep.type("", Kind::const_, 0, i + 1);
  deep.int_type();
  EXPECT_EQ(deep.refusal(), "7 BTF type [1] CONST '': Exceeded max resolving depth:32");
  // A struct that points to itself is what every list is.
  Raw list;
  u32 next = list.name("next");
  EXPECT_EQ(list.type("s", Kind::struct_, 1, 8, {next, 2, 0}).type("", Kind::ptr, 0, 1).refusal(),
            "accepted");
}

TEST(BtfParse, BoundsWalksOfUncheckedChains) {
  Raw raw;
  raw.type("", Kind::const_, 0, 1);
  Result<Btf> btf = raw.parse(Checks::structure);
  ASSERT_TRUE(btf.has_value());
  EXPECT_EQ(btf->skip_modifiers(1), 0u);
  EXPECT_EQ(btf->size_of(1).error().code, E2BIG);
}

TEST(BtfParse, SplitBtfContinuesItsBase) {
  Raw base_raw;
  base_raw.int_type("int");
  Btf base = std::move(base_raw.parse().value());
  auto base_strings = static_cast<u32>(5);
  // Hand-made: a typedef of the base's int whose name follows the base's strings.
  std::vector<u32> words{0x0001eb9f, 24, 0, 12, 12, 4, base_strings, 8u << 24, 1};
  std::vector<std::byte> bytes(words.size() * 4 + 4);
  std::memcpy(bytes.data(), words.data(), words.size() * 4);
  std::memcpy(bytes.data() + words.size() * 4, "num", 4);
  Result<Btf> split = Btf::parse(bytes, &base);
  ASSERT_TRUE(split.has_value()) << split.error().what;
  EXPECT_EQ(split->first_id(), 2u);
  EXPECT_EQ(split->type_count(), 2u);
  EXPECT_EQ(split->name(2), "num");
  EXPECT_EQ(split->name(1), "int");
  EXPECT_EQ(split->skip_modifiers(2), 1u);
  EXPECT_EQ(split->find(Kind::int_, "int"), 1u);
}

TEST(BtfParse, SurvivesEveryTruncationAndByteFlip) {
  std::vector<std::byte> good = test::btf_bytes("hello.bpf.o");
  ASSERT_FALSE(good.empty());
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::vector<std::byte> cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(Btf::parse(cut, nullptr, Checks::structure).has_value()) << "cut at " << i;
    for (int flip : {0x01, 0x80, 0xff}) {
      std::vector<std::byte> bad = good;
      bad[i] ^= static_cast<std::byte>(flip);
      Result<Btf> btf = Btf::parse(bad, nullptr, Checks::structure);
      if (!btf) {
        EXPECT_FALSE(btf.error().what.empty());
        continue;
      }
      ++accepted;
      for (u32 id = 0; id <= btf->type_count(); ++id) {
        (void)btf->size_of(id);
        (void)btf->skip_modifiers(id);
      }
      (void)check_as_kernel(*btf);
    }
  }
  EXPECT_GT(accepted, 0u);
}

}  // namespace
}  // namespace skep::btf
