// program usb|protocol FILE...: each file once, with a compiler that has no fuzzer.
#include <cstdio>
#include <iterator>
#include <vector>

#include "test/fuzz/targets.h"

int main(int argc, char** argv) {
  const oddity::fuzz::Target target = argc > 1 ? oddity::fuzz::FindTarget(argv[1]) : nullptr;
  if (target == nullptr) {
    std::fprintf(stderr, "usage: program usb|protocol FILE...\n");
    return 2;
  }
  for (int i = 2; i < argc; ++i) {
    std::FILE* file = std::fopen(argv[i], "rb");
    if (file == nullptr) {
      std::perror(argv[i]);
      return 2;
    }
    std::vector<uint8_t> bytes;
    uint8_t part[4096];
    for (size_t size; (size = std::fread(part, 1, sizeof part, file)) > 0;)
      bytes.insert(bytes.end(), part, part + size);
    std::fclose(file);
    std::fprintf(stderr, "%s\n", argv[i]);  // which it was that ended the program
    target(bytes.data(), bytes.size());
  }
  std::printf("%d files\n", argc - 2);
  return 0;
}
