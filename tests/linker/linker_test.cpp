// Linked objects load and do what their parts say; what does not fit together is refused in libbpf's words
// (as bpftool 7.7 `gen object` said of these objects); damaged objects are refused or linked, nothing worse.
#include "linker/linker.hpp"

#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "base/fd.hpp"
#include "loader/loader.hpp"
#include "runtime/user_kernel.hpp"

namespace skep::linker {
namespace {

std::string bytes_of_object(const std::string& name) {
  auto text = read_file(std::string(SKEP_LINKER_OBJECTS) + "/" + name + ".bpf.o");
  EXPECT_TRUE(text) << name;
  return text.value_or("");
}

Result<std::string> link(const std::vector<std::string>& names) {
  Linker linker;
  for (const std::string& name : names) {
    const std::string bytes = bytes_of_object(name);
    TRY(linker.add(bytes_of(std::string_view(bytes)), name));
  }
  const auto linked = TRY(std::move(linker).finish());
  return std::string(chars_of(linked));
}

std::string refusal(const std::vector<std::string>& names) {
  const auto linked = link(names);
  return linked ? "linked" : linked.error().what;
}

class Runs : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/skep-linker-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    auto made = runtime::UserKernel::create({.directory = directory_, .cpus = 2});
    ASSERT_TRUE(made) << made.error().what;
    kernel_ = std::move(*made);
  }
  void TearDown() override {
    kernel_.reset();
    std::filesystem::remove_all(directory_);
  }
  u32 run(const loader::LoadedObject& object, const std::string& name) {
    for (const auto& program : object.programs) {
      if (program.name != name) continue;
      TestRunSpec spec;
      spec.data_in.resize(64);
      spec.repeat = 1;
      const auto result = kernel_->prog_test_run(program.handle.fd(), spec);
      EXPECT_TRUE(result) << result.error().what;
      return result ? result->retval : 0;
    }
    ADD_FAILURE() << "no program " << name;
    return 0;
  }
  void check(const std::string& bytes) {
    const auto spec = loader::read_object(bytes_of(std::string_view(bytes)), "linked.o");
    ASSERT_TRUE(spec) << spec.error().what;
    EXPECT_EQ(spec->license, "GPL");
    ASSERT_EQ(spec->programs.size(), 3u);
    const auto object = loader::load(*spec, *kernel_);
    ASSERT_TRUE(object) << object.error().what;
    // from_main: counter 7 + 3; helper is main's own, chosen and weak_here the strong ones of the library.
    EXPECT_EQ(run(*object, "from_main"), (2 * 5 + 3) + (2 + 100) + 9 * 10 + 10 * 1000 + 2 * 100000u);
    EXPECT_EQ(run(*object, "from_library"), 4 * 2 + 9u);
    EXPECT_EQ(run(*object, "of_tc"), (1 * 2 + 9) + (1 + 100u));
  }

  std::string directory_;
  std::shared_ptr<Kernel> kernel_;
};

TEST_F(Runs, EitherOrder) {
  for (const auto& names : {std::vector<std::string>{"main", "library"}, {"library", "main"}}) {
    const auto linked = link(names);
    ASSERT_TRUE(linked) << linked.error().what;
    check(*linked);
  }
}

TEST_F(Runs, ALinkedObjectIsAnObject) {
  const auto half = link({"main"});  // still with its externs
  ASSERT_TRUE(half) << half.error().what;
  Linker linker;
  ASSERT_TRUE(linker.add(bytes_of(std::string_view(*half)), "half.o"));
  const std::string library = bytes_of_object("library");
  const auto added = linker.add(bytes_of(std::string_view(library)), "library");
  ASSERT_TRUE(added) << added.error().what;
  const auto linked = std::move(linker).finish();
  ASSERT_TRUE(linked) << linked.error().what;
  check(std::string(chars_of(*linked)));
}

TEST(Linked, TypesStandOnceAndVariablesWhereTheyAre) {
  const auto linked = link({"main", "library"});
  ASSERT_TRUE(linked) << linked.error().what;
  const auto spec = loader::read_object(bytes_of(std::string_view(*linked)), "linked.o");
  ASSERT_TRUE(spec) << spec.error().what;
  int structs = 0, externs = 0;
  for (u32 id = 1; id <= spec->btf->type_count(); ++id) {
    const btf::Type& type = spec->btf->type(id);
    structs += spec->btf->name(id) == "shared" && type.kind == btf::Kind::struct_;
    externs +=
        (type.kind == btf::Kind::var || type.kind == btf::Kind::func) && type.linkage == btf::linkage_extern;
    if (type.kind != btf::Kind::datasec || spec->btf->name(id) != ".data") continue;
    u32 end = 0;  // weak_here of main.bpf.c keeps its bytes but is no variable any more
    for (const btf::Entry& entry : spec->btf->entries(type)) {
      EXPECT_GE(entry.offset, end) << spec->btf->name(entry.type);
      end = entry.offset + entry.size;
    }
    EXPECT_LE(end, type.size);
    EXPECT_EQ(type.entry_count, 4u);  // counter, weak_here, scale of each
  }
  EXPECT_EQ(structs, 1);
  EXPECT_EQ(externs, 0);
}

TEST(Linked, WhatDoesNotFitIsRefused) {
  EXPECT_EQ(refusal({"library", "clash"}), "conflicting non-weak symbol #8 (counter) definition in 'clash'");
  EXPECT_EQ(refusal({"main", "main"}), "conflicting non-weak symbol #18 (from_main) definition in 'main'");
  EXPECT_EQ(refusal({"library", "types"}), "global 'counter': incompatible int 'int' size 4 and 8");
  EXPECT_EQ(refusal({"library", "map"}), "global 'seen': map max_entries mismatch");
  EXPECT_EQ(refusal({"library", "license"}), "non-identical contents of section 'license' are not supported");
  Linker linker;
  const auto added = linker.add(bytes_of(std::string_view("no object")), "text");
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().what, "elf: 'text' is not a proper ELF object");
}

TEST(Linked, DamagedObjectsAreHarmless) {
  const std::string library = bytes_of_object("library");
  const std::string whole = bytes_of_object("main");
  u32 linked = 0, refused = 0;
  u64 state = 1;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = whole;
    for (int change = 0; change < 1 + round % 4; ++change) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      damaged[(state >> 33) % damaged.size()] = static_cast<char>(state >> 25);
    }
    if (round % 16 == 0) damaged.resize((state >> 20) % damaged.size());
    Linker linker;
    if (!linker.add(bytes_of(std::string_view(damaged)), "damaged") ||
        !linker.add(bytes_of(std::string_view(library)), "library")) {
      ++refused;
      continue;
    }
    linked += std::move(linker).finish().has_value();
  }
  EXPECT_GT(linked, 100u);
  EXPECT_GT(refused, 100u);
}

/// Calls each(header, contents) on the section headers of an object, in place.
template <class Each>
void each_section(std::string& object, Each each) {
  Elf64_Ehdr head;
  std::memcpy(&head, object.data(), sizeof head);
  for (u32 i = 1; i < head.e_shnum; ++i) {
    Elf64_Shdr section;
    char* place = object.data() + head.e_shoff + i * sizeof section;
    std::memcpy(&section, place, sizeof section);
    each(section, object.data() + section.sh_offset);
    std::memcpy(place, &section, sizeof section);
  }
}

TEST(Linked, ASectionSymbolOfNoSectionMovesNothing) {
  std::string object = bytes_of_object("main");
  u32 changed = 0;
  each_section(object, [&](const Elf64_Shdr& section, char* contents) {
    if (section.sh_type != SHT_SYMTAB) return;
    for (u64 at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, contents + at, sizeof symbol);
      if (ELF64_ST_TYPE(symbol.st_info) != STT_SECTION) continue;
      symbol.st_shndx = SHN_ABS;
      std::memcpy(contents + at, &symbol, sizeof symbol);
      ++changed;
    }
  });
  ASSERT_GT(changed, 0u);
  Linker linker;
  ASSERT_TRUE(linker.add(bytes_of(std::string_view(object)), "absolute"));
  EXPECT_TRUE(std::move(linker).finish());
}

TEST(Linked, AlignmentsThatMakeItTooLargeAreRefusedEarly) {
  std::string object = bytes_of_object("main");
  each_section(object, [](Elf64_Shdr& section, char*) {
    if (section.sh_type == SHT_PROGBITS) section.sh_addralign = u64{1} << 28;
  });
  Linker linker;
  ASSERT_TRUE(linker.add(bytes_of(std::string_view(object)), "aligned"));
  const auto linked = std::move(linker).finish();
  ASSERT_FALSE(linked);
  EXPECT_EQ(linked.error().code, E2BIG);
}

}  // namespace
}  // namespace skep::linker
