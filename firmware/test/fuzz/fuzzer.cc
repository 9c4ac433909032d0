// libFuzzer's entry: program CORPUS [its options] -ignore_remaining_args=1 usb|protocol
#include <cstdio>
#include <cstdlib>

#include "test/fuzz/targets.h"

namespace {

oddity::fuzz::Target target;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  target = oddity::fuzz::FindTarget((*argv)[*argc - 1]);
  if (target == nullptr) {
    std::fprintf(stderr, "usage: program CORPUS -ignore_remaining_args=1 usb|protocol\n");
    std::exit(2);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  target(data, size);
  return 0;
}
