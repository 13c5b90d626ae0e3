// lpm_trie: prefixes of big-endian data, the longest that matches wins (kernel/bpf/lpm_trie.c). A binary trie
// with compressed paths; a node's prefix is a proper prefix of its children's. Intermediate nodes have no
// value and always two children. Readers walk without locks; writers take the map's lock and replace nodes.
//
// Every node knows the nearest node with a value above it (`above`), so a walk that fails needs to remember
// nothing. A trie with more than a few prefixes has an index by the first 16 bits: where the walk begins or,
// where nothing longer is there, what it would find.
#include <sys/mman.h>

#include <bit>

#include "base/rcu.hpp"
#include "maps/checks.hpp"

namespace skep::maps {
namespace {

/// Followed by the data (padded to 8, for compares by words) and, 8-aligned, the value.
struct Node {
  std::array<std::atomic<Node*>, 2> child{};
  std::atomic<Node*> above{nullptr};  ///< the nearest ancestor with a value
  u32 prefixlen = 0;
  bool intermediate = false;

  std::byte* data() { return reinterpret_cast<std::byte*>(this + 1); }
  const std::byte* data() const { return reinterpret_cast<const std::byte*>(this + 1); }
};

void free_node(void* node) { std::free(node); }

u64 big_endian_word(const std::byte* from) { return std::byteswap(load<u64>(from)); }

class LpmTrieMap final : public Map {
 public:
  explicit LpmTrieMap(const MapSpec& spec)
      : Map(spec), data_size_(spec.key_size - 4), padded_(static_cast<u32>(round_up8(spec.key_size - 4))) {}
  ~LpmTrieMap() override { free_tree(root_.load(std::memory_order_relaxed)); }

  std::byte* lookup(const std::byte* key, u32) noexcept override;
  int update(const std::byte* key, const std::byte* value, u64 flags, u32) noexcept override {
    return copy_in(key, value, flags);
  }
  int remove(const std::byte* key) noexcept override;

  /// trie_mem_usage()
  u64 memlock() const override {
    constexpr u64 kernels_node = 24;
    return (kernels_node + data_size_ + facts_.value_size) * count_.load(std::memory_order_relaxed);
  }

 protected:
  int copy_out(const std::byte* key, std::byte* value) noexcept override;
  int copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept override;
  int next_key(const std::byte* key, std::byte* next) noexcept override;
  bool has_batch(Batch) const override { return true; }

 private:
  using Link = std::atomic<Node*>;
  /// A key: prefix length and data, whose last word may not be read past `data_size_`.
  struct Data {
    const std::byte* bytes;
    u32 bits = 0;
  };
  Data data_of(const std::byte* key) const { return {key + 4, load<u32>(key)}; }
  u32 max_bits() const { return data_size_ * 8; }
  std::byte* value_of(Node* node) const { return node->data() + padded_; }

  static bool bit(const std::byte* data, u32 index) {
    return (static_cast<u32>(data[index / 8]) >> (7 - index % 8) & 1) != 0;
  }
  /// The first `bytes` (all where there are eight or more) of a key's data, zeros behind, as a number.
  static u64 word_of(const std::byte* data, u32 bytes) {
    if (bytes >= 8) return big_endian_word(data);
    if (bytes == 4) return u64{std::byteswap(load<u32>(data))} << 32;
    u64 word = 0;
    for (u32 i = 0; i < bytes; ++i) word |= static_cast<u64>(data[i]) << (56 - 8 * i);
    return word;
  }
  /// How many leading bits of both agree, at most the shorter prefix.
  u32 common(const Node* node, const Data& data) const {
    const u32 limit = std::min(node->prefixlen, data.bits);
    for (u32 at = 0; at < limit; at += 64) {
      const u64 differ =
          big_endian_word(node->data() + at / 8) ^ word_of(data.bytes + at / 8, data_size_ - at / 8);
      if (differ != 0) return std::min(limit, at + static_cast<u32>(std::countl_zero(differ)));
    }
    return limit;
  }
  Node* new_node(const Data& data, u32 bits, const std::byte* value);

  // The index; all but index_entry() under the lock.
  static constexpr u32 index_bits = 16, index_from = 64;
  /// A slot: the node where the walk begins, or, marked, the one that it finds (nullptr: none).
  static constexpr u64 is_result = 1;
  static u32 index_slot(const std::byte* data) {
    return static_cast<u32>(data[0]) << 8 | static_cast<u32>(data[1]);
  }
  std::atomic<u64>* index() const { return index_.load(std::memory_order_acquire); }
  void make_index();
  void update_index(const Data& data);
  void fill_index(std::atomic<u64>* slots, Node* node, Node* best, u32 depth, u32 first) const;
  static void set_above(Node* node, Node* above);
  /// The value's node that a walk from `node` on finds.
  Node* walk(Node* node, const Data& data) const;
  void free_tree(Node* node);
  int insert(const Data& data, const std::byte* value, u64 flags);

  Link root_{nullptr};
  std::atomic<std::atomic<u64>*> index_{nullptr};
  Mapping index_memory_;
  std::mutex mutex_;
  std::atomic<u32> count_{0};
  u32 data_size_;
  u32 padded_;
};

Node* LpmTrieMap::walk(Node* node, const Data& data) const {
  Node* last = nullptr;  // matches
  for (;;) {
    if (node == nullptr) break;
    const u32 same = common(node, data);
    if (same < node->prefixlen) return node->above.load(std::memory_order_acquire);
    last = node;
    if (same >= data.bits) break;
    node = node->child[bit(data.bytes, same)].load(std::memory_order_acquire);
  }
  if (last == nullptr || !last->intermediate) return last;
  return last->above.load(std::memory_order_acquire);
}

std::byte* LpmTrieMap::lookup(const std::byte* key, u32) noexcept {
  const Data data = data_of(key);
  if (data.bits > max_bits()) return nullptr;
  Node* found = nullptr;
  if (const auto* slots = index(); slots != nullptr && data.bits >= index_bits) {
    const u64 entry = slots[index_slot(data.bytes)].load(std::memory_order_acquire);
    auto* node = reinterpret_cast<Node*>(entry & ~is_result);
    found = (entry & is_result) != 0 ? node : walk(node, data);
  } else {
    found = walk(root_.load(std::memory_order_acquire), data);
  }
  return found == nullptr ? nullptr : value_of(found);
}

/// Below a node with a value, itself not counted, everything up to the next nodes with values knows it.
void LpmTrieMap::set_above(Node* node, Node* above) {
  if (node == nullptr) return;
  node->above.store(above, std::memory_order_release);
  if (!node->intermediate) return;
  for (const Link& child : node->child) set_above(child.load(std::memory_order_relaxed), above);
}

/// `node` is the first at or below `depth` bits on the way; `first`: the slot whose bits are the way's, then
/// zeros. Each slot is written once, with what it will have.
void LpmTrieMap::fill_index(std::atomic<u64>* slots, Node* node, Node* best, u32 depth, u32 first) const {
  const u32 count = 1u << (index_bits - depth);
  if (node == nullptr) {
    for (u32 i = first; i < first + count; ++i)
      slots[i].store(reinterpret_cast<u64>(best) | is_result, std::memory_order_release);
    return;
  }
  if (depth == index_bits) {
    slots[first].store(reinterpret_cast<u64>(node), std::memory_order_release);
    return;
  }
  if (node->prefixlen > depth) {
    const bool side = bit(node->data(), depth);
    for (const bool half : {false, true})
      fill_index(slots, half == side ? node : nullptr, best, depth + 1, first + (half ? count / 2 : 0));
    return;
  }
  if (!node->intermediate) best = node;
  for (const bool half : {false, true})
    fill_index(slots, node->child[half].load(std::memory_order_relaxed), best, depth + 1,
               first + (half ? count / 2 : 0));
}

void LpmTrieMap::make_index() {
  if (max_bits() < index_bits || count_.load(std::memory_order_relaxed) < index_from) return;
  auto memory = Mapping::map(sizeof(u64) << index_bits, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, "index");
  if (!memory) return;  // it works without
  index_memory_ = std::move(*memory);
  auto* slots = reinterpret_cast<std::atomic<u64>*>(index_memory_.data());
  fill_index(slots, root_.load(std::memory_order_relaxed), nullptr, 0, 0);
  index_.store(slots, std::memory_order_release);
}

/// After the trie changed at this prefix.
void LpmTrieMap::update_index(const Data& data) {
  std::atomic<u64>* slots = index();
  if (slots == nullptr) return make_index();
  // Down to the depth of the change, or of the index.
  const u32 depth = std::min(data.bits, index_bits);
  Node* node = root_.load(std::memory_order_relaxed);
  Node* best = nullptr;
  while (node != nullptr && node->prefixlen < depth) {
    if (common(node, data) < node->prefixlen) {  // another way: nothing is at this prefix
      node = nullptr;
      break;
    }
    if (!node->intermediate) best = node;
    node = node->child[bit(data.bytes, node->prefixlen)].load(std::memory_order_relaxed);
  }
  if (node != nullptr && common(node, {data.bytes, depth}) < depth) node = nullptr;
  const u32 slot = index_slot(data.bytes) & ~((1u << (index_bits - depth)) - 1);
  fill_index(slots, node, best, depth, slot);
}

int LpmTrieMap::copy_out(const std::byte* key, std::byte* value) noexcept {
  const rcu::Reader reader;
  const std::byte* found = lookup(key, 0);
  if (found == nullptr) return -ENOENT;
  load_value(value, found, facts_.value_size);
  return 0;
}

Node* LpmTrieMap::new_node(const Data& data, u32 bits, const std::byte* value) {
  void* memory = std::calloc(1, sizeof(Node) + padded_ + round_up8(facts_.value_size));
  if (memory == nullptr) return nullptr;
  Node* node = new (memory) Node;
  node->prefixlen = bits;
  node->intermediate = value == nullptr;
  std::memcpy(node->data(), data.bytes, data_size_);
  if (value != nullptr) std::memcpy(value_of(node), value, facts_.value_size);
  return node;
}

int LpmTrieMap::copy_in(const std::byte* key, const std::byte* value, u64 flags) noexcept {
  if (flags > uapi::EXIST) return -EINVAL;
  const Data data = data_of(key);
  if (data.bits > max_bits()) return -EINVAL;
  const std::lock_guard lock(mutex_);
  return insert(data, value, flags);
}

int LpmTrieMap::insert(const Data& data, const std::byte* value, u64 flags) {
  // Down to the link where the new node goes.
  Link* link = &root_;
  Node* node = nullptr;
  Node* parent_value = nullptr;
  u32 same = 0;
  while ((node = link->load(std::memory_order_relaxed)) != nullptr) {
    same = common(node, data);
    if (node->prefixlen != same || node->prefixlen == data.bits) break;
    if (!node->intermediate) parent_value = node;
    link = &node->child[bit(data.bytes, node->prefixlen)];
  }
  const bool exact = node != nullptr && node->prefixlen == same && same == data.bits;
  const bool exists = exact && !node->intermediate;
  if (exists && flags == uapi::NOEXIST) return -EEXIST;
  if (!exists && flags == uapi::EXIST) return -ENOENT;
  if (!exists && count_.load(std::memory_order_relaxed) == facts_.max_entries) return -ENOSPC;
  Node* fresh = new_node(data, data.bits, value);
  if (fresh == nullptr) return -ENOMEM;
  // What is above the place; a node that is passed by has it, too.
  Node* above = node != nullptr ? node->above.load(std::memory_order_relaxed) : parent_value;
  fresh->above.store(above, std::memory_order_relaxed);
  Node* gone = nullptr;
  if (exact) {  // takes the place of the node
    for (u32 i = 0; i < 2; ++i)
      fresh->child[i].store(node->child[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
    link->store(fresh, std::memory_order_release);
    for (const Link& child : fresh->child) set_above(child.load(std::memory_order_relaxed), fresh);
    gone = node;
  } else if (node == nullptr) {
    link->store(fresh, std::memory_order_release);
  } else if (same == data.bits) {  // a prefix of the node: above it
    fresh->child[bit(node->data(), same)].store(node, std::memory_order_relaxed);
    link->store(fresh, std::memory_order_release);
    set_above(node, fresh);
  } else {  // both under a node of what they share
    Node* fork = new_node(data, same, nullptr);
    if (fork == nullptr) {
      std::free(fresh);
      return -ENOMEM;
    }
    fork->above.store(above, std::memory_order_relaxed);
    const bool side = bit(data.bytes, same);
    fork->child[side].store(fresh, std::memory_order_relaxed);
    fork->child[!side].store(node, std::memory_order_relaxed);
    link->store(fork, std::memory_order_release);
  }
  if (!exists) count_.fetch_add(1, std::memory_order_relaxed);
  update_index(data);
  if (gone != nullptr) rcu::defer(gone, free_node);  // nothing leads to it any more
  return 0;
}

int LpmTrieMap::remove(const std::byte* key) noexcept {
  const Data data = data_of(key);
  if (data.bits > max_bits()) return -EINVAL;
  const std::lock_guard lock(mutex_);
  Link* link = &root_;
  Link* parent_link = nullptr;
  Node* parent = nullptr;
  Node* node = nullptr;
  while ((node = link->load(std::memory_order_relaxed)) != nullptr) {
    const u32 same = common(node, data);
    if (node->prefixlen != same) return -ENOENT;
    if (node->prefixlen == data.bits) break;
    parent = node;
    parent_link = link;
    link = &node->child[bit(data.bytes, node->prefixlen)];
  }
  if (node == nullptr || node->intermediate) return -ENOENT;
  Node* left = node->child[0].load(std::memory_order_relaxed);
  Node* right = node->child[1].load(std::memory_order_relaxed);
  Node* above = node->above.load(std::memory_order_relaxed);
  Node* fork = nullptr;
  if (left != nullptr && right != nullptr) {
    // Its place is still needed. Readers may hold its value: another node without one takes the place.
    fork = new_node(data, data.bits, nullptr);
    if (fork == nullptr) return -ENOMEM;
    fork->above.store(above, std::memory_order_relaxed);
    fork->child[0].store(left, std::memory_order_relaxed);
    fork->child[1].store(right, std::memory_order_relaxed);
    link->store(fork, std::memory_order_release);
  } else if (left != nullptr || right != nullptr) {
    link->store(left != nullptr ? left : right, std::memory_order_release);
  } else if (parent != nullptr && parent->intermediate) {
    // The parent only joined two: the other one takes its place.
    const bool side = link == &parent->child[1];
    parent_link->store(parent->child[!side].load(std::memory_order_relaxed), std::memory_order_release);
  } else {
    link->store(nullptr, std::memory_order_release);
    parent = nullptr;
  }
  for (Node* below : {left, right}) set_above(below, above);
  count_.fetch_sub(1, std::memory_order_relaxed);
  update_index(data);
  const bool parent_gone = left == nullptr && right == nullptr && parent != nullptr;
  if (parent_gone) {
    // Slots that the parent's shorter prefix has, too, may lead to it.
    update_index({data.bytes, std::min(data.bits, parent->prefixlen)});
    rcu::defer(parent, free_node);
  }
  rcu::defer(node, free_node);
  return 0;
}

void LpmTrieMap::free_tree(Node* root) {
  std::vector<Node*> left;
  if (root != nullptr) left.push_back(root);
  while (!left.empty()) {
    Node* node = left.back();
    left.pop_back();
    for (const auto& child : node->child)
      if (Node* below = child.load(std::memory_order_relaxed); below != nullptr) left.push_back(below);
    std::free(node);
  }
}

/// In postorder: what is more special comes first (trie_get_next_key()). An unknown key asks for the first.
int LpmTrieMap::next_key(const std::byte* key, std::byte* next) noexcept {
  const std::lock_guard lock(mutex_);
  Node* node = root_.load(std::memory_order_relaxed);
  if (node == nullptr) return -ENOENT;
  std::vector<Node*> path;  // to the key's node
  bool found = false;
  if (key != nullptr && load<u32>(key) <= max_bits()) {
    const Data data = data_of(key);
    for (Node* at = node; at != nullptr;) {
      path.push_back(at);
      const u32 same = common(at, data);
      if (same == at->prefixlen && same == data.bits) {
        found = !at->intermediate;
        break;
      }
      if (same < at->prefixlen) break;
      at = at->child[bit(data.bytes, at->prefixlen)].load(std::memory_order_relaxed);
    }
  }
  Node* from = node;
  if (found) {
    // Up until a subtree to the right is left, or a node with a value.
    from = nullptr;
    while (from == nullptr && path.size() > 1) {
      Node* done = path.back();
      path.pop_back();
      Node* above = path.back();
      Node* right = above->child[1].load(std::memory_order_relaxed);
      if (right != nullptr && right != done) {
        from = right;
      } else if (!above->intermediate) {
        store(next, above->prefixlen);
        std::memcpy(next + 4, above->data(), data_size_);
        return 0;
      }
    }
    if (from == nullptr) return -ENOENT;
  }
  // Down to the leftmost leaf: it has a value, because intermediate nodes have two children.
  for (;;) {
    Node* below = from->child[0].load(std::memory_order_relaxed);
    if (below == nullptr) below = from->child[1].load(std::memory_order_relaxed);
    if (below == nullptr) break;
    from = below;
  }
  store(next, from->prefixlen);
  std::memcpy(next + 4, from->data(), data_size_);
  return 0;
}

/// trie_alloc()
Result<void> check(const MapSpec& spec) {
  constexpr u32 max_data = 256, node = 24;
  if ((spec.flags & uapi::F_NO_PREALLOC) == 0) return fail(EINVAL, "needs BPF_F_NO_PREALLOC");
  if (auto ok = check_flags(spec, uapi::F_NO_PREALLOC | uapi::F_NUMA_NODE | access_mask); !ok) return ok;
  if (auto ok = check_entries(spec); !ok) return ok;
  if (spec.key_size < 5 || spec.key_size > 4 + max_data)
    return fail(EINVAL, fmt::format("key_size is {}, must be 4 and 1 to {}", spec.key_size, max_data));
  if (spec.value_size == 0 || spec.value_size > kmalloc_max - max_data - node)
    return fail(EINVAL, fmt::format("value_size {} is 0 or too big", spec.value_size));
  return {};
}

Result<MapRef> make(const MapSpec& spec, const Environment&) {
  return MapRef(std::make_shared<LpmTrieMap>(spec));
}

}  // namespace

constinit const MapTypeRow lpm_trie_row = {MapType::lpm_trie, check, make, MapTypeRow::Btf::struct_key};

}  // namespace skep::maps
