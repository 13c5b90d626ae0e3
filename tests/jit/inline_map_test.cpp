// Lookups in hash maps inline, and keys put together before map calls: keys of every size up to the limit,
// stored in pieces of every kind, in maps so small that elements share buckets. The interpreter, which calls
// the map for everything, must find the same.
#include <gtest/gtest.h>

#include <random>

#include "base/rcu.hpp"
#include "helpers/table.hpp"
#include "isa/form.hpp"
#include "jit/compile.hpp"
#include "maps/map.hpp"
#include "vm/interpreter.hpp"

namespace skep::jit {
namespace {

using isa::Form;
using isa::Insn;

constexpr s16 key_at = -128;

class InlineMap : public ::testing::Test {
 protected:
  ~InlineMap() override { rcu::barrier(); }
  maps::MapRef make(MapType type, u32 key_size, u32 entries) {
    MapSpec spec;
    spec.type = type;
    spec.key_size = key_size;
    spec.value_size = 8;
    spec.max_entries = entries;
    auto map = maps::create(spec, {area_.get(), nullptr});
    EXPECT_TRUE(map.has_value());
    return *map;
  }

  /// Copies the key that the context is to the stack, in pieces of 1, 2, 4 or 8 bytes, and calls.
  std::vector<Insn> program(u32 key_size, s32 function, std::span<const Insn> then) {
    std::vector<Insn> out;
    const auto add = [&](Form form, u8 dst, u8 src, s16 off, s32 imm = 0) {
      out.push_back(isa::encode(form, dst, src, off, imm));
    };
    constexpr Form loads[] = {Form::LDX_B, Form::LDX_H, Form::LDX_W, Form::LDX_DW};
    constexpr Form stores[] = {Form::STX_B, Form::STX_H, Form::STX_W, Form::STX_DW};
    add(Form::MOV64_X, 6, 1, 0);
    for (u32 at = 0; at < key_size;) {
      u32 log = random_() % 4;
      while (at % (1u << log) != 0 || at + (1u << log) > key_size) --log;
      add(loads[log], 3, 6, static_cast<s16>(at));
      add(stores[log], 10, 3, static_cast<s16>(key_at + static_cast<s16>(at)));
      at += 1u << log;
    }
    add(Form::LDX_DW, 3, 6, 64);  // the value, behind the key
    add(Form::STX_DW, 10, 3, key_at - 8);
    add(Form::MOV64_X, 2, 10, 0);
    add(Form::ADD64_K, 2, 0, 0, key_at);
    add(Form::MOV64_X, 3, 10, 0);
    add(Form::ADD64_K, 3, 0, 0, key_at - 8);
    add(Form::MOV64_K, 4, 0, 0, 0);
    out.push_back(isa::encode(Form::LD_IMM64_MAP_FD, 1, 1, 0, 0));
    out.push_back(Insn{});
    add(Form::CALL_HELPER, 0, 0, 0, function);
    out.insert(out.end(), then.begin(), then.end());
    out.push_back(isa::encode(Form::EXIT));
    return out;
  }
  std::vector<Insn> lookup(u32 key_size) {
    const auto distance = static_cast<s16>(maps::hash_elem_header + ((key_size + 7) & ~7u));
    const Insn then[] = {isa::encode(Form::JEQ64_K, 0, 0, 1, 0), isa::encode(Form::LDX_DW, 0, 0, distance)};
    return program(key_size, helpers::fn_htab_map_lookup_elem, then);
  }

  struct Context {
    std::array<std::byte, 64> key{};
    u64 value = 0;
  };
  /// On the JIT and, after, on the interpreter, which must agree where `again` says so.
  u64 run(const std::vector<Insn>& insns, maps::Map& map, Context& context, bool again) {
    void* addresses[] = {&map};
    const vm::LinkTable links{.map_addresses = addresses, .helper = helpers::function};
    auto compiled = compile_unverified(insns, links);
    EXPECT_TRUE(compiled.has_value()) << (compiled ? "" : compiled.error().what);
    const rcu::Reader reader;
    RunContext rc;
    const u64 result = compiled->entry()(&context, &rc);
    if (again) {
      auto prepared = vm::prepare_unverified(insns, links);
      EXPECT_TRUE(prepared.has_value());
      EXPECT_EQ(prepared->entry()(&context, &rc), result);
    }
    return result;
  }

  std::mt19937 random_{4711};
  std::unique_ptr<maps::PercpuArea> area_ = *maps::PercpuArea::create(1);
};

TEST_F(InlineMap, FindsWhatIsThereAndNothingElse) {
  for (const MapType type : {MapType::hash, MapType::lru_hash})
    for (u32 size = 1; size <= 64; ++size) {
      const auto map = make(type, size, 200);
      std::map<std::vector<std::byte>, u64> model;
      for (u32 i = 0; i < 200; ++i) {
        std::vector<std::byte> key(size);
        for (std::byte& b : key) b = static_cast<std::byte>(random_() % 3);
        const u64 value = 1 + random_();
        if (type == MapType::lru_hash && i >= 100) break;  // none is to go
        ASSERT_EQ(map->update(key.data(), reinterpret_cast<const std::byte*>(&value), 0, 0), 0);
        model[key] = value;
      }
      const auto insns = lookup(size);
      auto at = model.begin();
      for (u32 i = 0; i < 12; ++i) {
        std::vector<std::byte> key(size);
        if (i % 2 == 0) {
          std::advance(at, static_cast<long>(random_() % 5) % static_cast<long>(model.size()));
          if (at == model.end()) at = model.begin();
          key = at->first;
        } else {
          for (std::byte& b : key) b = static_cast<std::byte>(random_() % 4);
        }
        Context context;
        std::ranges::copy(key, context.key.begin());
        const auto expected = model.find(key);
        ASSERT_EQ(run(insns, *map, context, true), expected == model.end() ? 0 : expected->second)
            << map_type_name(type) << ", " << size << " bytes";
      }
    }
}

/// Stores constants of random sizes, at once, by way of a register or through a copy of the frame pointer,
/// some over others or over what the context has, as bytes 0 to key_size of `key` then are.
TEST_F(InlineMap, KeysOfConstantsAreTheSameKeys) {
  constexpr Form direct[] = {Form::ST_B, Form::ST_H, Form::ST_W, Form::ST_DW};
  constexpr Form stores[] = {Form::STX_B, Form::STX_H, Form::STX_W, Form::STX_DW};
  constexpr Form releases[] = {Form::STORE_REL_B, Form::STORE_REL_H, Form::STORE_REL_W, Form::STORE_REL_DW};
  for (u32 round = 0; round < 600; ++round) {
    const u32 size = 1 + random_() % 40;
    const MapType type = random_() % 2 == 0 ? MapType::hash : MapType::lru_hash;
    Context context;
    for (std::byte& b : context.key) b = static_cast<std::byte>(random_());
    auto key = context.key;
    std::vector<Insn> constants = {isa::encode(Form::MOV64_X, 7, 10, 0, 0),
                                   isa::encode(Form::ADD64_K, 7, 0, 0, key_at)};
    for (u32 i = random_() % (size + 2); i != 0; --i) {
      u32 log = random_() % 4;
      while ((1u << log) > size) --log;
      const u32 at = random_() % (size / (1u << log)) << log;
      const auto imm = static_cast<s32>(random_());
      u64 bytes = static_cast<u64>(s64{imm});
      const bool by_copy = random_() % 2 == 0;
      const u8 base = by_copy ? 7 : 10;
      const auto off = static_cast<s16>(static_cast<s32>(at) + (by_copy ? 0 : key_at));
      if (random_() % 2 == 0) {
        constants.push_back(isa::encode(direct[log], base, 0, off, imm));
      } else {
        const bool wide = random_() % 2 == 0;
        if (!wide) bytes = static_cast<u32>(imm);
        constants.push_back(isa::encode(wide ? Form::MOV64_K : Form::MOV32_K, 3, 0, 0, imm));
        constants.push_back(random_() % 4 == 0 ? isa::encode(releases[log], base, 3, off, 0)
                                               : isa::encode(stores[log], base, 3, off, 0));
      }
      for (u32 b = 0; b < 1u << log; ++b) key[at + b] = static_cast<std::byte>(bytes >> 8 * b);
    }
    auto insns = lookup(size);
    // Behind the copy of the context's key, before what the call needs.
    const auto value = std::ranges::find_if(
        insns, [](const Insn& i) { return i == isa::encode(Form::LDX_DW, 3, 6, 64, 0); });
    ASSERT_NE(value, insns.end());
    insns.insert(value, constants.begin(), constants.end());
    const auto map = make(type, size, 64);
    ASSERT_EQ(run(insns, *map, context, true), 0u) << "nothing is in the map";
    const u64 number = 1 + random_();
    ASSERT_EQ(map->update(key.data(), reinterpret_cast<const std::byte*>(&number), 0, 0), 0);
    ASSERT_EQ(run(insns, *map, context, true), number) << map_type_name(type) << ", " << size << " bytes";
  }
}

TEST_F(InlineMap, KeysInPiecesAreTheSameKeysForUpdates) {
  for (u32 size = 1; size <= 64; ++size) {
    const auto map = make(MapType::hash, size, 8);
    for (u32 i = 0; i < 4; ++i) {
      Context context;
      for (std::byte& b : context.key) b = static_cast<std::byte>(random_());
      context.value = random_();
      ASSERT_EQ(run(program(size, helpers::fn_htab_map_update_elem, {}), *map, context, false), 0u);
      const rcu::Reader reader;
      const std::byte* found = map->lookup(context.key.data(), 0);
      ASSERT_NE(found, nullptr) << size;
      EXPECT_EQ(load<u64>(found), context.value);
      ASSERT_EQ(run(program(size, helpers::fn_htab_map_delete_elem, {}), *map, context, false), 0u);
      EXPECT_EQ(map->lookup(context.key.data(), 0), nullptr);
    }
  }
}

}  // namespace
}  // namespace skep::jit
