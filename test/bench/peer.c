// The peer of the benchmark: what a minimal virtual machine monitor in plain C costs on /dev/kvm.
//
//   gcc -O2 -pthread -o peer peer.c && ./peer pio|mmio|pio-handoff|create|memory [operations per round] [rounds]
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
  kPort = 0x10,
  kCode = 0x1000,
  kSmallMemory = 64 << 10,  // leaves a hole that real mode can reach
  kLargeMemory = 64 << 20,
  kHoleSegment = 0xd000,
  kHole = kHoleSegment << 4,
  kMaxCpuidEntries = 256,
};

// Below the 4 GiB firmware area, where no slot of ours is.
static const unsigned long kTssAddress = 0xfffbd000;

static const uint8_t kPioLoop[] = {0xe6, kPort, 0xeb, 0xfc};        // out 0x10, al; jmp $-2
static const uint8_t kMmioLoop[] = {0xa2, 0x00, 0x00, 0xeb, 0xfb};  // mov [0], al; jmp $-3

struct Host {
  int kvm;
  size_t runBytes;
  struct kvm_cpuid2* cpuid;
};

struct Machine {
  int vm;
  int vcpu;
  uint8_t* memory;
  size_t memoryBytes;
  struct kvm_run* run;
  size_t runBytes;
};

static void fail(const char* what) {
  perror(what);
  exit(1);
}

static int check(int result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

/** For the pthread functions, which return their error. */
static void checkThread(int error, const char* what) {
  errno = error;
  if (error != 0) fail(what);
}

static void* map(size_t bytes, int flags, int fd) {
  void* address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (address == MAP_FAILED) fail("mmap");
  return address;
}

static struct Host openHost(void) {
  struct Host host = {.kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm")};
  host.runBytes = check(ioctl(host.kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  host.cpuid = calloc(1, sizeof(*host.cpuid) + kMaxCpuidEntries * sizeof(host.cpuid->entries[0]));
  if (host.cpuid == NULL) fail("calloc");
  host.cpuid->nent = kMaxCpuidEntries;
  check(ioctl(host.kvm, KVM_GET_SUPPORTED_CPUID, host.cpuid), "KVM_GET_SUPPORTED_CPUID");
  return host;
}

static struct Machine openMachine(const struct Host* host, size_t memoryBytes) {
  struct Machine machine = {.memoryBytes = memoryBytes, .runBytes = host->runBytes};
  machine.vm = check(ioctl(host->kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  check(ioctl(machine.vm, KVM_SET_TSS_ADDR, kTssAddress), "KVM_SET_TSS_ADDR");

  machine.memory = map(memoryBytes, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  struct kvm_userspace_memory_region region = {
      .memory_size = memoryBytes,
      .userspace_addr = (uintptr_t)machine.memory,
  };
  check(ioctl(machine.vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");

  machine.vcpu = check(ioctl(machine.vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  machine.run = map(machine.runBytes, MAP_SHARED, machine.vcpu);
  check(ioctl(machine.vcpu, KVM_SET_CPUID2, host->cpuid), "KVM_SET_CPUID2");
  return machine;
}

static void closeMachine(const struct Machine* machine) {
  check(munmap(machine->run, machine->runBytes), "munmap");
  check(close(machine->vcpu), "close vCPU");
  check(close(machine->vm), "close VM");
  check(munmap(machine->memory, machine->memoryBytes), "munmap");
}

static struct Machine openRealMode(const struct Host* host, const uint8_t* code, size_t codeBytes) {
  struct Machine machine = openMachine(host, kSmallMemory);
  memcpy(machine.memory + kCode, code, codeBytes);

  struct kvm_sregs sregs;
  check(ioctl(machine.vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
  sregs.cs.selector = 0;
  sregs.cs.base = 0;
  sregs.ds.selector = kHoleSegment;
  sregs.ds.base = kHole;
  check(ioctl(machine.vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");

  struct kvm_regs regs = {.rip = kCode, .rflags = 2, .rax = 0x5a};
  check(ioctl(machine.vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
  return machine;
}

static void enterGuest(const struct Machine* machine) { check(ioctl(machine->vcpu, KVM_RUN, 0), "KVM_RUN"); }

/** The device behind both loops: a register that keeps the last byte written. */
static void answer(const struct kvm_run* run, volatile uint8_t* device) {
  if (run->exit_reason == KVM_EXIT_IO && run->io.port == kPort && run->io.direction == KVM_EXIT_IO_OUT) {
    *device = *((const uint8_t*)run + run->io.data_offset);
  } else if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == kHole && run->mmio.is_write) {
    *device = run->mmio.data[0];
  } else {
    fprintf(stderr, "unexpected exit, reason %u\n", run->exit_reason);
    exit(1);
  }
}

static double now(void) {
  struct timespec time;
  check(clock_gettime(CLOCK_MONOTONIC, &time), "clock_gettime");
  return time.tv_sec * 1e9 + time.tv_nsec;
}

static int ascending(const void* left, const void* right) {
  const double a = *(const double*)left, b = *(const double*)right;
  return (a > b) - (a < b);
}

static double median(double* values, size_t count) {
  qsort(values, count, sizeof(*values), ascending);
  return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/** Runs an operation once to touch what it needs, then in timed rounds. */
static double measure(void (*operation)(void*), void* context, size_t operations, size_t rounds) {
  double* samples = calloc(rounds, sizeof(*samples));
  if (samples == NULL) fail("calloc");
  operation(context);
  for (size_t round = 0; round < rounds; ++round) {
    const double start = now();
    for (size_t i = 0; i < operations; ++i) operation(context);
    samples[round] = (now() - start) / operations;
  }
  const double result = median(samples, rounds);
  free(samples);
  return result;
}

struct Loop {
  struct Machine machine;
  uint8_t device;
};

static void exitOnce(void* context) {
  struct Loop* loop = context;
  enterGuest(&loop->machine);
  answer(loop->machine.run, &loop->device);
}

static double measureLoop(const struct Host* host, const uint8_t* code, size_t codeBytes, size_t operations,
                          size_t rounds) {
  struct Loop loop = {.machine = openRealMode(host, code, codeBytes)};
  const double result = measure(exitOnce, &loop, operations, rounds);
  closeMachine(&loop.machine);
  return result;
}

static double measurePio(const struct Host* host, size_t operations, size_t rounds) {
  return measureLoop(host, kPioLoop, sizeof(kPioLoop), operations, rounds);
}

static double measureMmio(const struct Host* host, size_t operations, size_t rounds) {
  return measureLoop(host, kMmioLoop, sizeof(kMmioLoop), operations, rounds);
}

enum Turn { kGuest, kAnswerer, kDone };

struct Handoff {
  struct Loop loop;
  pthread_mutex_t mutex;
  pthread_cond_t changed;  // two threads wait by turns: there is at most one to wake
  enum Turn turn;
};

static void await(struct Handoff* handoff, enum Turn other) {
  while (handoff->turn == other)
    checkThread(pthread_cond_wait(&handoff->changed, &handoff->mutex), "pthread_cond_wait");
}

static void give(struct Handoff* handoff, enum Turn turn) {
  handoff->turn = turn;
  checkThread(pthread_cond_signal(&handoff->changed), "pthread_cond_signal");
}

static void* answerExits(void* context) {
  struct Handoff* handoff = context;
  checkThread(pthread_mutex_lock(&handoff->mutex), "pthread_mutex_lock");
  for (await(handoff, kGuest); handoff->turn == kAnswerer; await(handoff, kGuest)) {
    answer(handoff->loop.machine.run, &handoff->loop.device);
    give(handoff, kGuest);
  }
  checkThread(pthread_mutex_unlock(&handoff->mutex), "pthread_mutex_unlock");
  return NULL;
}

static void exitAndHandOff(void* context) {
  struct Handoff* handoff = context;
  enterGuest(&handoff->loop.machine);
  checkThread(pthread_mutex_lock(&handoff->mutex), "pthread_mutex_lock");
  give(handoff, kAnswerer);
  await(handoff, kAnswerer);
  checkThread(pthread_mutex_unlock(&handoff->mutex), "pthread_mutex_unlock");
}

static double measurePioHandoff(const struct Host* host, size_t operations, size_t rounds) {
  struct Handoff handoff = {
      .loop = {.machine = openRealMode(host, kPioLoop, sizeof(kPioLoop))},
      .mutex = PTHREAD_MUTEX_INITIALIZER,
      .changed = PTHREAD_COND_INITIALIZER,
      .turn = kGuest,
  };
  pthread_t answerer;
  checkThread(pthread_create(&answerer, NULL, answerExits, &handoff), "pthread_create");
  const double result = measure(exitAndHandOff, &handoff, operations, rounds);

  checkThread(pthread_mutex_lock(&handoff.mutex), "pthread_mutex_lock");
  give(&handoff, kDone);
  checkThread(pthread_mutex_unlock(&handoff.mutex), "pthread_mutex_unlock");
  checkThread(pthread_join(answerer, NULL), "pthread_join");
  closeMachine(&handoff.loop.machine);
  return result;
}

static void createAndClose(void* context) {
  const struct Machine machine = openMachine(context, kLargeMemory);
  closeMachine(&machine);
}

static double measureCreate(const struct Host* host, size_t operations, size_t rounds) {
  return measure(createAndClose, (void*)host, operations, rounds);
}

struct Copy {
  uint8_t* to;
  const uint8_t* from;
};

static void copyAll(void* context) {
  const struct Copy* copy = context;
  memcpy(copy->to, copy->from, kLargeMemory);
  __asm__ volatile("" : : "r"(copy->to) : "memory");  // nothing reads the copy, and it must be made all the same
}

static double measureMemory(const struct Host* host, size_t operations, size_t rounds) {
  const struct Machine machine = openMachine(host, kLargeMemory);
  uint8_t* source = map(kLargeMemory, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  memset(source, 0x5a, kLargeMemory);
  struct Copy copy = {.to = machine.memory, .from = source};
  const double result = measure(copyAll, &copy, operations, rounds);
  check(munmap(source, kLargeMemory), "munmap");
  closeMachine(&machine);
  return result;
}

static const struct Measurement {
  const char* name;
  double (*measure)(const struct Host* host, size_t operations, size_t rounds);
  size_t operations;
} kMeasurements[] = {
    {"pio", measurePio, 20000},     {"mmio", measureMmio, 20000},  {"pio-handoff", measurePioHandoff, 20000},
    {"create", measureCreate, 100}, {"memory", measureMemory, 10},
};

static const size_t kRounds = 5;

/** A whole number above 0, or 0 if the text is none. */
static size_t positive(const char* text) {
  char* end;
  const long value = strtol(text, &end, 10);
  return end != text && *end == '\0' && value > 0 ? (size_t)value : 0;
}

static const struct Measurement* find(const char* name) {
  for (size_t i = 0; i < sizeof(kMeasurements) / sizeof(kMeasurements[0]); ++i) {
    if (strcmp(kMeasurements[i].name, name) == 0) return &kMeasurements[i];
  }
  return NULL;
}

int main(int argc, char** argv) {
  const struct Measurement* measurement = argc >= 2 && argc <= 4 ? find(argv[1]) : NULL;
  const size_t operations = measurement == NULL ? 0 : argc > 2 ? positive(argv[2]) : measurement->operations;
  const size_t rounds = argc > 3 ? positive(argv[3]) : kRounds;
  if (operations == 0 || rounds == 0) {
    fprintf(stderr, "usage: %s pio|mmio|pio-handoff|create|memory [operations per round] [rounds]\n", argv[0]);
    return 1;
  }

  const struct Host host = openHost();
  const double nsPerOp = measurement->measure(&host, operations, rounds);
  printf("{\"name\": \"%s\", \"rounds\": %zu, \"nsPerOp\": %.1f}\n", measurement->name, rounds, nsPerOp);
  free(host.cpuid);
  check(close(host.kvm), "close /dev/kvm");
  return 0;
}
