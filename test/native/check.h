// A test program: sentences with checks, and the main() that runs them.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace vtkit::test {

struct Sentence {
  const char* text;
  void (*run)();
};

inline std::vector<Sentence>& sentences() {
  static std::vector<Sentence> all;
  return all;
}

inline int failures = 0;

/** One more failure. Who only wants to know whether there is any sets STOP_AT_FAILURE. */
inline void countFailure() {
  failures++;
  if (std::getenv("STOP_AT_FAILURE") != nullptr) std::_Exit(1);
}

struct Registration {
  Registration(const char* text, void (*run)()) { sentences().push_back({text, run}); }
};

inline std::string shown(const std::string& value) { return value; }
inline std::string shown(const char* value) { return value; }
template <typename Number>
std::string shown(Number value) {
  char text[24];
  std::snprintf(text, sizeof(text), "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

/** False if it failed, so that a loop over random operands can stop at the first difference. */
template <typename Actual, typename Expected>
bool checkEqual(const Actual& actual, const Expected& expected, const char* file, int line, const std::string& what) {
  if (shown(actual) == shown(expected)) return true;
  std::printf("%s:%d: %s is %s, expected %s\n", file, line, what.c_str(), shown(actual).c_str(),
              shown(expected).c_str());
  countFailure();
  return false;
}

inline int runAll() {
  for (const Sentence& sentence : sentences()) {
    const int before = failures;
    sentence.run();
    if (failures != before) std::printf("FAILED: %s\n", sentence.text);
  }
  std::printf("%zu tests, %d failures\n", sentences().size(), failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace vtkit::test

#define VTKIT_JOIN2(a, b) a##b
#define VTKIT_JOIN(a, b) VTKIT_JOIN2(a, b)
#define TEST(text)                                                                                             \
  static void VTKIT_JOIN(test, __LINE__)();                                                                    \
  static const vtkit::test::Registration VTKIT_JOIN(registration, __LINE__)(text, VTKIT_JOIN(test, __LINE__)); \
  static void VTKIT_JOIN(test, __LINE__)()
#define CHECK_EQUAL(actual, expected) vtkit::test::checkEqual(actual, expected, __FILE__, __LINE__, #actual)

#ifndef VTKIT_OWN_MAIN
int main() { return vtkit::test::runAll(); }
#endif
