// `gen skeleton`: the header compiles, in C and in C++, and has what libbpf's users refer to.
#include "cli/fixture.hpp"

namespace skep::cli::test {
namespace {

class Gen : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path().string() + "/skep-gen-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
  }
  [[nodiscard]] int shell(const std::string& command) const {
    return std::system(fmt::format("cd {} && {} 2>errors", directory_, command).c_str());
  }
  std::string directory_;
};

TEST_F(Gen, ASkeletonCompilesAndHoldsTheObject) {
  const std::string object = SKEP_BUILD_DIR "/tests/system/events.bpf.o";
  if (!std::filesystem::exists(object)) GTEST_SKIP() << "the system tests' objects are not built";
  if (shell("echo '#include <bpf/libbpf.h>' | cc -x c -fsyntax-only -") != 0)
    GTEST_SKIP() << "libbpf's headers are not installed";
  const Ran ran = run_without_kernel("bpftool gen skeleton " + object + " name my_events");
  ASSERT_EQ(ran.status, 0) << ran.err;
  write("events.skel.h", ran.out);
  // Nothing of libbpf is called: its functions are only named.
  write(
      "use.c",
      "#include \"events.skel.h\"\n#include <stdio.h>\n"
      "int bpf_object__load_skeleton(struct bpf_object_skeleton *s) { return s != 0; }\n"
      "int bpf_object__attach_skeleton(struct bpf_object_skeleton *s) { return s != 0; }\n"
      "void bpf_object__detach_skeleton(struct bpf_object_skeleton *s) { (void)s; }\n"
      "void bpf_object__destroy_skeleton(struct bpf_object_skeleton *s) { (void)s; }\n"
      "int bpf_object__open_skeleton(struct bpf_object_skeleton *s, const struct bpf_object_open_opts *o) {\n"
      "  (void)o;\n"
      "  for (int i = 0; i < s->map_cnt; i++) fprintf(stderr, \"map %s\\n\",\n"
      "    ((struct bpf_map_skeleton *)((char *)s->maps + i * s->map_skel_sz))->name);\n"
      "  for (int i = 0; i < s->prog_cnt; i++) fprintf(stderr, \"prog %s\\n\", s->progs[i].name);\n"
      "  return 0; }\n"
      "int main(void) { size_t size; struct my_events *e = my_events__open();\n"
      "  const void *data = my_events__elf_bytes(&size);\n"
      "  return !e || fwrite(data, 1, size, stdout) != size; }\n");
  ASSERT_EQ(shell("cc -Wall -Werror use.c -o use"), 0) << std::ifstream(directory_ + "/errors").rdbuf();
  ASSERT_EQ(shell("./use >bytes"), 0);
  EXPECT_EQ(shell("cmp bytes " + object), 0);
  ASSERT_EQ(shell("./use >bytes"), 0);
  std::ostringstream names;
  names << std::ifstream(directory_ + "/errors").rdbuf();
  EXPECT_EQ(names.str(), "map events\nmap ring\nmap my_event.bss\nprog output\n");
  ASSERT_EQ(shell("c++ -x c++ -fsyntax-only -Wall use.c"), 0)
      << std::ifstream(directory_ + "/errors").rdbuf();
}

TEST_F(Gen, WhatIsNoObjectIsRefused) {
  EXPECT_EQ(run_without_kernel("bpftool gen skeleton /nosuch.o").err,
            "Error: failed to stat() /nosuch.o: No such file or directory\n");
  const Ran ran = run_without_kernel("bpftool gen skeleton /etc/passwd");
  EXPECT_EQ(ran.status, 95);
  EXPECT_EQ(ran.err,
            "libbpf: elf: 'passwd' is not a proper ELF object\n"
            "Error: failed to open BPF object file: BPF object format invalid\n");
}

TEST_F(Gen, ASubskeletonCompilesAndPointsAtTheVariables) {
  const std::string object = SKEP_BUILD_DIR "/tests/system/events.bpf.o";
  if (!std::filesystem::exists(object)) GTEST_SKIP() << "the system tests' objects are not built";
  if (shell("echo '#include <bpf/libbpf.h>' | cc -x c -fsyntax-only -") != 0)
    GTEST_SKIP() << "libbpf's headers are not installed";
  const Ran ran = run_without_kernel("bpftool gen subskeleton " + object + " name my_events");
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_NE(ran.out.find("s->vars[0].addr = (void **) &obj->bss."), std::string::npos) << ran.out;
  write("events.subskel.h", ran.out);
  write("use.c",
        "#include \"events.subskel.h\"\n"
        "int use(const struct bpf_object *whole) {\n"
        "  struct my_events *e = my_events__open(whole);\n"
        "  return e && e->maps.ring && e->progs.output; }\n");
  EXPECT_EQ(shell("cc -fsyntax-only use.c && c++ -x c++ -fsyntax-only use.c"), 0)
      << std::ifstream(directory_ + "/errors").rdbuf();
  EXPECT_EQ(run_without_kernel("bpftool -L gen subskeleton " + object).err,
            "Error: cannot use loader for subskeletons\n");
}

TEST_F(Gen, AnObjectMayBeItsOwnInput) {
  const std::string object = SKEP_BUILD_DIR "/tests/system/events.bpf.o";
  if (!std::filesystem::exists(object)) GTEST_SKIP() << "the system tests' objects are not built";
  std::filesystem::copy_file(object, directory_ + "/a.o");
  const std::string linked = directory_ + "/a.o";
  const Ran ran = run_without_kernel("bpftool -j gen object " + linked + " " + linked);
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "null\n");
  EXPECT_EQ(run_without_kernel("bpftool btf dump file " + linked).status, 0);
  EXPECT_LT(std::filesystem::file_size(linked), std::filesystem::file_size(object));
}

TEST_F(Gen, AFailureLeavesNoFile) {
  const std::string output = directory_ + "/out.o";
  const Ran ran = run_without_kernel("bpftool gen object " + output + " /nosuch.o");
  EXPECT_EQ(ran.status, 254);
  EXPECT_EQ(ran.err,
            "libbpf: failed to open file '/nosuch.o': No such file or directory\n"
            "Error: failed to link '/nosuch.o': No such file or directory (2)\n");
  EXPECT_EQ(run_without_kernel("bpftool gen min_core_btf /nosuch " + output + " a.o").err,
            "Error: failed parsing '/nosuch' BTF file: No such file or directory\n");
  EXPECT_FALSE(std::filesystem::exists(output));
}

/// What is left of a kernel's types is what the relocations name; they find the same there.
TEST_F(Gen, MinimalTypesHoldWhatIsUsed) {
  write("kernel.c",
        "struct inner { int unused; long deep; };\n"
        "struct outer { int first; struct inner in; struct inner *behind; int last; };\n"
        "enum state { ON = 3, OFF = 4 };\n"
        "struct outer an_outer; enum state a_state; struct { int alone; } other;\n");
  write("use.c",
        "#define CORE __attribute__((preserve_access_index))\n"
        "struct inner { long deep; } CORE;\n"
        "struct outer { struct inner in; } CORE;\n"
        "__attribute__((section(\"xdp\"), used)) int f(void *ctx) {\n"
        "  return __builtin_preserve_field_info(((struct outer *)0)->in.deep, 0); }\n");
  if (shell("clang-19 -target bpf -g -O2 -c kernel.c -o kernel.o && clang-19 -target bpf -g -O2 -c use.c -o "
            "use.o") != 0)
    GTEST_SKIP() << "no clang-19";
  const std::string at = directory_ + "/";
  const Ran ran =
      run_without_kernel("bpftool gen min_core_btf " + at + "kernel.o " + at + "min.btf " + at + "use.o");
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(run_without_kernel("bpftool btf dump file " + at + "min.btf").out,
            "[1] STRUCT 'outer' size=40 vlen=1\n\t'in' type_id=2 bits_offset=64\n"
            "[2] STRUCT 'inner' size=16 vlen=1\n\t'deep' type_id=3 bits_offset=64\n"
            "[3] INT 'long' size=8 bits_offset=0 nr_bits=64 encoding=SIGNED\n");
}

}  // namespace
}  // namespace skep::cli::test
