// The part of Unity's interface that these tests need; PlatformIO reads the lines that it prints.
#pragma once

#include <cstdio>

namespace minitest {
inline int tests, failures;
inline bool failed;
}  // namespace minitest

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      minitest::failed = true;                                                      \
      std::printf("%s:%d:%s:FAIL: %s\n", __FILE__, __LINE__, __func__, #condition); \
      return;                                                                       \
    }                                                                               \
  } while (0)

#define RUN_TEST(test)                                           \
  do {                                                           \
    minitest::failed = false;                                    \
    ++minitest::tests;                                           \
    test();                                                      \
    if (minitest::failed)                                        \
      ++minitest::failures;                                      \
    else                                                         \
      std::printf("%s:%d:%s:PASS\n", __FILE__, __LINE__, #test); \
  } while (0)

inline int FinishTests() {
  std::printf("\n%d Tests %d Failures 0 Ignored\n", minitest::tests, minitest::failures);
  return minitest::failures;
}
