// Cases of a fuzzer, each made of a seed of its own: a few in the test run, so many seconds of them, or one again.
#pragma once

#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "test/native/image.h"

// Of the sanitizers' run time; null without them.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace vtkit::test {

using Random = std::mt19937_64;
using Input = std::vector<uint8_t>;

/** One fuzzer: inputs from seeds, and what is done with an input. */
class Fuzzer {
 public:
  virtual ~Fuzzer() = default;
  virtual const char* name() const = 0;
  virtual Input make(uint64_t seed) = 0;
  /** Null, or what went wrong that no sanitizer would find. */
  virtual const char* run(const Input& input) = 0;
  /** One line on what the cases came to; false if that is not what they should. */
  virtual bool summary() { return true; }
};

/** What is known of the case that runs, for whoever ends the process. */
struct RunningCase {
  const char* fuzzer = "";
  uint64_t seed = 0;
  const Input* input = nullptr;
};
inline RunningCase runningCase;

/** Saves the case that runs. Called from signal handlers: nothing here allocates. */
inline void saveRunningCase() {
  if (runningCase.input == nullptr) return;
  char name[128], text[320];
  std::snprintf(name, sizeof(name), "build/fuzz/%s-%llu.input", runningCase.fuzzer,
                static_cast<unsigned long long>(runningCase.seed));
  const int file = ::open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
  const Input& input = *runningCase.input;
  const bool saved = file >= 0 && ::write(file, input.data(), input.size()) == static_cast<ssize_t>(input.size());
  if (file >= 0) ::close(file);
  const int length = std::snprintf(text, sizeof(text), "\n%s: the case of seed %llu fails; %s %s\n", runningCase.fuzzer,
                                   static_cast<unsigned long long>(runningCase.seed),
                                   saved ? "its input is" : "its input could not be written to", name);
  if (::write(2, text, static_cast<size_t>(length)) < 0) return;
  runningCase.input = nullptr;
}

/** SIGPROF when the process has used so much processor time from now on; never for 0. */
inline void setProcessorAlarm(unsigned seconds) {
  const itimerval value = {{}, {static_cast<time_t>(seconds), 0}};
  ::setitimer(ITIMER_PROF, &value, nullptr);
}

/** PROGRAM [--seconds N] [--seed N] [--cases N], or PROGRAM --input FILE. Without arguments: `cases` of seed 1 on. */
inline int fuzz(Fuzzer& fuzzer, uint64_t cases, int argc, char** argv) {
  // Of processor time, since others may have the processor; and of time, for what waits for ever.
  constexpr unsigned kHangSeconds = 60, kWaitSeconds = 1200;
  uint64_t seed = 1;
  double seconds = 0;
  const char* file = nullptr;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--seconds") seconds = std::atof(argv[i + 1]), cases = ~uint64_t{0};
    if (option == "--seed") seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--cases") cases = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--input") file = argv[i + 1], cases = 1;
  }
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(saveRunningCase);
  for (const int signal : {SIGPROF, SIGALRM, SIGABRT}) {
    std::signal(signal, [](int number) {
      saveRunningCase();
      std::signal(number, SIG_DFL);
      std::raise(number);
    });
  }
  runningCase.fuzzer = fuzzer.name();
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  uint64_t done = 0;
  for (double told = 0; done < cases && (seconds == 0 || elapsed() < seconds); done++) {
    const Input input = file == nullptr ? fuzzer.make(seed + done) : fileBytes(file);
    runningCase.seed = seed + done;
    runningCase.input = &input;
    setProcessorAlarm(kHangSeconds);
    alarm(kWaitSeconds);
    if (const char* wrong = fuzzer.run(input)) {
      std::printf("%s: %s\n", fuzzer.name(), wrong);
      std::fflush(stdout);
      saveRunningCase();
      return 1;
    }
    runningCase.input = nullptr;
    if (seconds != 0 && elapsed() - told >= 60) {
      told = elapsed();
      std::printf("%s: %.0f s, at seed %llu\n", fuzzer.name(), told, static_cast<unsigned long long>(seed + done));
      std::fflush(stdout);
    }
  }
  setProcessorAlarm(0);
  alarm(0);
  const double took = elapsed();
  std::printf("%s: %llu cases from seed %llu on in %.1f s, %.0f a second\n", fuzzer.name(),
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(seed), took,
              static_cast<double>(done) / took);
  return fuzzer.summary() ? 0 : 1;
}

}  // namespace vtkit::test
