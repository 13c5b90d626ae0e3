// See recording.hpp.
#include "corpus/recording.hpp"

#include <array>
#include <cstdio>
#include <memory>
#include <sstream>
#include <stdexcept>

namespace skep::corpus {
namespace {

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> fields;
  std::size_t begin = 0;
  for (;;) {
    const auto end = line.find('\t', begin);
    fields.push_back(line.substr(begin, end - begin));
    if (end == std::string::npos) return fields;
    begin = end + 1;
  }
}

std::string slurp(const std::string& path) {
  const bool packed = path.ends_with(".gz");
  const std::string command = "gzip -dc '" + path + "'";
  std::FILE* file = packed ? ::popen(command.c_str(), "r") : std::fopen(path.c_str(), "r");
  if (file == nullptr) throw std::runtime_error("cannot open " + path);
  std::string text;
  std::vector<char> part(1 << 20);
  while (const std::size_t got = std::fread(part.data(), 1, part.size(), file)) text.append(part.data(), got);
  if ((packed ? ::pclose(file) : std::fclose(file)) != 0 || text.empty())
    throw std::runtime_error("cannot read " + path);
  return text;
}

template <class Each>
void for_lines(const std::string& path, std::size_t fields_wanted, Each each) {
  std::istringstream text(slurp(path));
  std::string line;
  while (std::getline(text, line)) {
    auto fields = split(line);
    if (fields.size() >= fields_wanted && fields[0] != "corpus") each(fields);
  }
}

}  // namespace

std::vector<Recording> read_recordings(const std::string& runs, const std::string& maps) {
  std::vector<Recording> all;
  std::map<std::pair<std::string, std::string>, std::size_t> places;
  for_lines(runs, 12, [&](std::vector<std::string>& f) {
    const auto [place, added] = places.emplace(std::pair(f[1], f[2]), all.size());
    if (added) all.push_back({.object = f[1], .program = f[2], .type = f[3], .modes = {}, .maps = {}});
    all[place->second].modes[f[4]].push_back({f[5], std::stoi(f[6]), static_cast<int>(std::stol(f[7])),
                                              static_cast<unsigned>(std::stoul(f[8])), f[9], f[10],
                                              f[11] == "1"});
  });
  if (maps.empty()) return all;
  for_lines(maps, 10, [&](std::vector<std::string>& f) {
    const auto place = places.find({f[1], f[2]});
    if (place != places.end()) all[place->second].maps[f[3]].push_back({f[4], f[7], f[8], f[9] == "1"});
  });
  return all;
}

Packets read_packets(const std::string& path) {
  Packets packets;
  for_lines(path, 3, [&](std::vector<std::string>& f) {
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i + 1 < f[2].size(); i += 2)
      bytes.push_back(static_cast<std::byte>(std::stoi(f[2].substr(i, 2), nullptr, 16)));
    packets[f[0]] = std::move(bytes);
  });
  return packets;
}

std::string hex(const std::byte* bytes, std::size_t size) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(size * 2);
  for (std::size_t i = 0; i < size; ++i) {
    text += digits[static_cast<std::size_t>(bytes[i]) >> 4];
    text += digits[static_cast<std::size_t>(bytes[i]) & 15];
  }
  return text;
}

std::string fnv64(const void* bytes, std::size_t size) {
  std::uint64_t hash = 1469598103934665603u;
  for (std::size_t i = 0; i < size; ++i) {
    hash ^= static_cast<const unsigned char*>(bytes)[i];
    hash *= 1099511628211u;
  }
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return text.data();
}

}  // namespace skep::corpus
