// kvm-run.c: runs one conformance guest on /dev/kvm, with KVM's own interrupt controllers and timer; COM1 is the
// output.
#include "vm.h"

enum { kBytes = 64 << 20, kFlat = 0x7c00, kInformation = 0x9000, kCom1 = 0x3f8, kDebugExit = 0xf4 };

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

int main(int argc, char** argv) {
  demand(argc == 2, "usage: kvm-run IMAGE");
  const int file = open(argv[1], O_RDONLY);
  length = (size_t)read(file, image, sizeof image);
  const int is_elf = word(0) == 0x464c457f;
  const Vm vm = create_vm(kBytes, 1);
  show_all_features(&vm);
  memory = vm.memory;
  struct kvm_run* run = vm.run;

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

  for (;;) {
    DEMAND(vm.vcpu, KVM_RUN, 0);
    uint8_t* bytes = (uint8_t*)run + run->io.data_offset;
    const size_t count = (size_t)run->io.size * run->io.count;
    switch (run->exit_reason) {
      case KVM_EXIT_IO:
        if (run->io.direction == KVM_EXIT_IO_OUT) {
          if (run->io.port == kCom1) fwrite(bytes, 1, count, stdout);
          if (run->io.port == kDebugExit) return fflush(stdout);
        } else {
          memset(bytes, run->io.port == kCom1 + 5 ? 0x60 : 0xff, count);
        }
        break;
      case KVM_EXIT_MMIO:
        if (!run->mmio.is_write) memset(run->mmio.data, 0xff, sizeof run->mmio.data);
        break;
      default:
        printf("exit reason %u, %llx\n", run->exit_reason, (unsigned long long)run->hw.hardware_exit_reason);
        return 1;
    }
  }
}
