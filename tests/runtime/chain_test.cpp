// The order of tcx programs. Each step is a request, what Linux 6.18 answered (errno) and the chain after it,
// as BPF_PROG_QUERY told; recorded one after the other on one interface.
#include "runtime/chain.hpp"

#include <gtest/gtest.h>

#include <map>

namespace skep::runtime {
namespace {

using namespace uapi;

struct Owner final : LinkOwner {
  void link_gone(Link&) noexcept override {}
};

/// What a place refers to.
struct Rel {
  char program = 0;
  const Link* link = nullptr;
};

class ChainOrder : public ::testing::Test {
 protected:
  ChainOrder() {
    for (const char name : std::string("abcdef")) {
      programs_[name] = std::make_shared<Program>();
      programs_[name]->name = std::string(1, name);
    }
  }
  ChainPlace place(u32 flags, Rel rel, u64 revision) {
    return {flags, rel.program != 0 ? programs_.at(rel.program) : nullptr, rel.link, revision};
  }
  static int code(const Result<void>& result) { return result ? 0 : result.error().code; }
  int attach(char program, u32 flags = 0, Rel rel = {}, char replaced = 0, u64 revision = 0) {
    return code(chain_.attach({programs_.at(program), nullptr},
                              replaced != 0 ? programs_.at(replaced).get() : nullptr,
                              place(flags, rel, revision)));
  }
  int link(Link& link, char program, u32 flags = 0, Rel rel = {}) {
    link.program = programs_.at(program);
    return code(chain_.attach({link.program, &link}, nullptr, place(flags, rel, 0)));
  }
  int detach(char program = 0, u32 flags = 0, Rel rel = {}, const Link* link = nullptr) {
    return code(
        chain_.detach(program != 0 ? programs_.at(program).get() : nullptr, link, place(flags, rel, 0)));
  }
  void expect(int got, int want, const std::string& order, u64 revision, int line) {
    EXPECT_EQ(got, want) << "line " << line;
    std::string now;
    for (const ChainEntry& entry : chain_.entries()) now += entry.program->name;
    EXPECT_EQ(now, order) << "line " << line;
    EXPECT_EQ(chain_.revision(), revision) << "line " << line;
  }
  std::map<char, std::shared_ptr<Program>> programs_;
  Owner owner_;
  Chain chain_;
};

#define STEP(request, errno_, order, revision) expect(request, errno_, order, revision, __LINE__)

TEST_F(ChainOrder, IsLinuxs) {
  STEP(attach('a'), 0, "a", 2);
  STEP(attach('a'), EEXIST, "a", 2);
  STEP(attach('b'), 0, "ab", 3);
  STEP(attach('c', F_BEFORE), 0, "cab", 4);
  STEP(attach('d', F_BEFORE, {'b'}), 0, "cadb", 5);
  STEP(attach('e', F_AFTER, {'c'}), 0, "ceadb", 6);
  STEP(attach('f', F_BEFORE, {'f'}), ENOENT, "ceadb", 6);
  STEP(attach('f', 0, {'a'}), EINVAL, "ceadb", 6);
  STEP(attach('f', F_BEFORE | F_AFTER, {'a'}), ERANGE, "ceadb", 6);
  STEP(attach('f', F_BEFORE | F_AFTER), ERANGE, "ceadb", 6);
  STEP(attach('f', F_REPLACE, {}, 'd'), 0, "ceafb", 7);
  STEP(attach('d', F_REPLACE | F_BEFORE, {'f'}, 'e'), ERANGE, "ceafb", 7);
  STEP(attach('d', F_REPLACE | F_BEFORE, {'f'}, 'a'), 0, "cedfb", 8);
  STEP(attach('a', F_REPLACE, {}, 'a'), ENOENT, "cedfb", 8);
  STEP(attach('a', 0, {}, 0, 99), ESTALE, "cedfb", 8);
  STEP(attach('a', 0, {}, 0, 8), 0, "cedfba", 9);
  STEP(detach(), 0, "cedfb", 10);
  STEP(detach(0, F_BEFORE), 0, "edfb", 11);
  STEP(detach('d'), 0, "efb", 12);
  STEP(detach('d'), ENOENT, "efb", 12);
  STEP(detach('b', F_REPLACE), EINVAL, "efb", 12);
  STEP(detach(0, F_BEFORE, {'b'}), 0, "eb", 13);
  STEP(detach(0, F_AFTER), 0, "e", 14);
  Link first(owner_), second(owner_), none(owner_);
  STEP(link(first, 'c'), 0, "ec", 15);
  STEP(detach('c'), EBUSY, "ec", 15);
  STEP(detach(), EBUSY, "ec", 15);
  STEP(link(none, 'c'), EEXIST, "ec", 15);
  STEP(link(second, 'a', F_BEFORE | F_LINK, {'c', &first}), 0, "eac", 16);
  STEP(link(none, 'd', F_REPLACE), ENOENT, "eac", 16);
  STEP(link(none, 'd', 64), EINVAL, "eac", 16);
  STEP(attach('d', F_REPLACE, {}, 'c'), EBUSY, "eac", 16);
  STEP(attach('d', F_AFTER, {'a'}), 0, "eadc", 17);
  STEP(detach('c', 0, {}, &first), 0, "ead", 18);
}

TEST_F(ChainOrder, HoldsSixtyFour) {
  for (int i = 0; i < Chain::max; ++i)
    ASSERT_TRUE(chain_.attach({std::make_shared<Program>(), nullptr}, nullptr, {}));
  EXPECT_EQ(attach('a'), ERANGE);
  EXPECT_EQ(chain_.entries().size(), 64u);
}

}  // namespace
}  // namespace skep::runtime
