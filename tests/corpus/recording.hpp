// What a kernel's BPF_PROG_TEST_RUN said of many programs on many packets, as tab-separated tables:
//   corpus object program type mode packet errno retval out_len out ctx_out stable
//   corpus object program mode map type entries fnv64 dump stable
// `out` is "=" (as it went in), hexadecimal digits, "fnv:" and a hash, or "-"; modes are in
// corpus_replay.cpp.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace skep::corpus {

struct Row {
  std::string packet;
  int code = 0;
  int retval = 0;
  unsigned out_len = 0;
  std::string out;
  std::string context;
  bool stable = true;
};
struct MapRow {
  std::string map;
  std::string fnv;
  std::string dump;
  bool stable = true;
};
/// All rows of one program, by mode.
struct Recording {
  std::string object;
  std::string program;
  std::string type;
  std::map<std::string, std::vector<Row>> modes;
  std::map<std::string, std::vector<MapRow>> maps;
};

/// Programs in the order of the table; `maps` may be empty. Files that end in .gz are read through gzip(1).
/// Throws std::runtime_error.
std::vector<Recording> read_recordings(const std::string& runs, const std::string& maps);

using Packets = std::map<std::string, std::vector<std::byte>>;
/// name, description, hexadecimal digits.
Packets read_packets(const std::string& path);

std::string hex(const std::byte* bytes, std::size_t size);
std::string fnv64(const void* bytes, std::size_t size);

}  // namespace skep::corpus
