// kvm-run.c: runs one conformance guest on /dev/kvm, with KVM's own interrupt controllers and timer; COM1 is the
// output.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kBytes = 64 << 20, kFlat = 0x7c00, kInformation = 0x9000, kCom1 = 0x3f8, kDebugExit = 0xf4 };

static uint8_t* memory;
static uint8_t image[1 << 20];
static size_t length;

static void demand(int fine, const char* what) {
  if (fine) return;
  perror(what);
  exit(1);
}
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
  const int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);
  demand(vm >= 0, "KVM_CREATE_VM");
  demand(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) == 0, "KVM_SET_TSS_ADDR");
  demand(ioctl(vm, KVM_CREATE_IRQCHIP, 0) == 0, "KVM_CREATE_IRQCHIP");
  struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
  demand(ioctl(vm, KVM_CREATE_PIT2, &pit) == 0, "KVM_CREATE_PIT2");
  memory = mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  demand(memory != MAP_FAILED, "mmap");
  struct kvm_userspace_memory_region region = {0, 0, 0, kBytes, (unsigned long)memory};
  demand(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0, "KVM_SET_USER_MEMORY_REGION");
  const int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  demand(vcpu >= 0, "KVM_CREATE_VCPU");
  struct kvm_cpuid2* cpuid = calloc(1, sizeof *cpuid + 256 * sizeof(struct kvm_cpuid_entry2));
  cpuid->nent = 256;
  demand(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) == 0, "KVM_GET_SUPPORTED_CPUID");
  demand(ioctl(vcpu, KVM_SET_CPUID2, cpuid) == 0, "KVM_SET_CPUID2");
  struct kvm_run* run =
      mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  demand(run != MAP_FAILED, "mmap of the vCPU");

  struct kvm_sregs sregs;
  demand(ioctl(vcpu, KVM_GET_SREGS, &sregs) == 0, "KVM_GET_SREGS");
  struct kvm_regs regs = {.rflags = 2};
  if (is_elf) {
    struct kvm_segment data = {.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
    sregs.cs = data;
    sregs.cs.selector = 8, sregs.cs.type = 11;
    sregs.cr0 |= 1;
    regs.rax = 0x2badb002, regs.rbx = kInformation, regs.rip = load_multiboot();
  } else {
    memcpy(memory + kFlat, image, length);
    sregs.cs.base = sregs.cs.selector = 0;
    regs.rip = kFlat, regs.rsp = kFlat;
  }
  demand(ioctl(vcpu, KVM_SET_SREGS, &sregs) == 0 && ioctl(vcpu, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");

  for (;;) {
    demand(ioctl(vcpu, KVM_RUN, 0) == 0, "KVM_RUN");
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
