// kvm-run.c: runs one conformance guest on /dev/kvm, with KVM's own interrupt controllers and timer; COM1 is the
// output.
#include <errno.h>
#include <pthread.h>

#include "vm.h"

enum {
  kMostProcessors = 4,
  kBytes = 64 << 20,
  kFlat = 0x7c00,
  kInformation = 0x9000,
  kCom1 = 0x3f8,
  kDebugExit = 0xf4
};

static uint8_t* memory;
static uint8_t image[1 << 20];
static size_t length;

static uint32_t word(size_t at) {
  uint32_t value = 0;
  if (at + 4 <= length) memcpy(&value, image + at, 4);
  return value;
}

// Multiboot 1: the segments of an ELF32 file; the information says how much memory there is.
static uint32_t load_multiboot(void) {
  const uint32_t table = word(28), entry_bytes = word(42) & 0xffff, entries = word(44) & 0xffff;
  for (uint32_t i = 0; i < entries; i++) {
    const size_t at = table + i * entry_bytes;
    const uint32_t offset = word(at + 4), to = word(at + 12), bytes = word(at + 16), all = word(at + 20);
    if (word(at) != 1) continue;
    demand(offset + (size_t)bytes <= length && to + (size_t)all <= kBytes, "a segment does not fit");
    memcpy(memory + to, image + offset, bytes);
  }
  uint32_t information[3] = {1, 640, kBytes / 1024 - 1024};
  memcpy(memory + kInformation, information, sizeof information);
  return word(24);
}

typedef struct {
  int vcpu;
  struct kvm_run* run;
} Processor;

// Until the guest ends the machine: the first one there ends the process.
static void* run_processor(void* given) {
  const Processor* processor = given;
  struct kvm_run* run = processor->run;
  for (;;) {
    // A processor that INIT or SIPI has reached is to be run again.
    while (ioctl(processor->vcpu, KVM_RUN, 0) < 0) demand(errno == EAGAIN, "KVM_RUN");
    uint8_t* bytes = (uint8_t*)run + run->io.data_offset;
    const size_t count = (size_t)run->io.size * run->io.count;
    switch (run->exit_reason) {
      case KVM_EXIT_IO:
        if (run->io.direction == KVM_EXIT_IO_OUT) {
          if (run->io.port == kCom1) fwrite(bytes, 1, count, stdout);
          if (run->io.port == kDebugExit) exit(0);
        } else {
          memset(bytes, run->io.port == kCom1 + 5 ? 0x60 : 0xff, count);
        }
        break;
      case KVM_EXIT_MMIO:
        if (!run->mmio.is_write) memset(run->mmio.data, 0xff, sizeof run->mmio.data);
        break;
      default:
        printf("exit reason %u, %llx\n", run->exit_reason, (unsigned long long)run->hw.hardware_exit_reason);
        exit(1);
    }
  }
}

int main(int argc, char** argv) {
  const int processors = argc == 3 ? atoi(argv[2]) : 1;
  demand((argc == 2 || argc == 3) && processors >= 1 && processors <= kMostProcessors,
         "usage: kvm-run IMAGE [PROCESSORS]");
  const int file = open(argv[1], O_RDONLY);
  length = (size_t)read(file, image, sizeof image);
  const int is_elf = word(0) == 0x464c457f;
  const Vm vm = create_vm(kBytes, 1);
  memory = vm.memory;
  Processor all[kMostProcessors] = {{vm.vcpu, vm.run}};
  for (int i = 1; i < processors; i++) all[i].vcpu = create_vcpu(&vm, i, &all[i].run);
  for (int i = 0; i < processors; i++) show_all_features(&vm, all[i].vcpu);

  struct kvm_sregs sregs;
  DEMAND(vm.vcpu, KVM_GET_SREGS, &sregs);
  struct kvm_regs regs = {.rflags = 2};
  if (is_elf) {
    set_flat(&sregs, 32);
    regs.rax = 0x2badb002, regs.rbx = kInformation, regs.rip = load_multiboot();
  } else {
    memcpy(memory + kFlat, image, length);
    sregs.cs.base = sregs.cs.selector = 0;
    regs.rip = kFlat, regs.rsp = kFlat;
  }
  DEMAND(vm.vcpu, KVM_SET_SREGS, &sregs);
  DEMAND(vm.vcpu, KVM_SET_REGS, &regs);

  // The others wait in KVM_RUN for INIT and SIPI.
  for (int i = 1; i < processors; i++) {
    pthread_t thread;
    demand(pthread_create(&thread, NULL, run_processor, &all[i]) == 0, "a thread");
  }
  run_processor(&all[0]);
}
