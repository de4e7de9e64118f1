// kvm-tpr.c: guests that move their task priority and read it back, and the exits that it costs, as KVM_GET_STATS_FD
// counts them: by the local APIC's register at FEE00080h as 32-bit systems do, and by CR8 as 64-bit ones do (SDM Vol.
// 3A, 11.8.6.1).
#include "vm.h"

enum { kBytes = 1 << 20, kCode = 0x1000, kTables = 0x2000, kMoves = 1000, kDebugExit = 0xf4 };

extern const uint8_t mmio32[], mmio32_end[], cr8_64[], cr8_64_end[];
// EDI sums up what was read back.
__asm__(
    ".pushsection .rodata\n.code32\n"
    "mmio32: xor %ebx, %ebx\n xor %edi, %edi\n"
    "1: mov %ebx, %eax\n and $15, %eax\n shl $4, %eax\n mov %eax, 0xfee00080\n mov 0xfee00080, %ecx\n"
    "shr $4, %ecx\n add %ecx, %edi\n inc %ebx\n cmp $1000, %ebx\n jne 1b\n out %al, $0xf4\n"
    "mmio32_end:\n.code64\n"
    "cr8_64: xor %ebx, %ebx\n xor %edi, %edi\n"
    "1: mov %ebx, %eax\n and $15, %eax\n mov %rax, %cr8\n mov %cr8, %rcx\n"
    "add %ecx, %edi\n inc %ebx\n cmp $1000, %ebx\n jne 1b\n out %al, $0xf4\n"
    "cr8_64_end:\n.popsection\n");

static const struct {
  const char* name;
  const uint8_t *code, *end;
  int bits, chips;
} guests[] = {
    {"mmio", mmio32, mmio32_end, 32, 1},
    {"cr8", cr8_64, cr8_64_end, 64, 1},
    // KVM has no TPR shadow to give where the APIC is not its own: as on processors without one.
    {"cr8-without-shadow", cr8_64, cr8_64_end, 64, 0},
};

static const char* const counted[] = {"exits", "irq_exits", "insn_emulation", "io_exits", "mmio_exits"};
enum { kCounted = sizeof counted / sizeof *counted };

// The counters by name: a header, then a descriptor and a name for each, and the values where the descriptors say.
static void read_counters(int stats, uint64_t values[kCounted]) {
  struct kvm_stats_header header;
  demand(pread(stats, &header, sizeof header, 0) == sizeof header, "statistics");
  const size_t each = sizeof(struct kvm_stats_desc) + header.name_size;
  struct kvm_stats_desc* one = malloc(each);
  memset(values, 0, kCounted * sizeof *values);
  for (uint32_t i = 0; i < header.num_desc; i++) {
    demand(pread(stats, one, each, header.desc_offset + i * each) == (ssize_t)each, "a statistic");
    for (int k = 0; k < kCounted; k++) {
      if (strcmp(one->name, counted[k]) != 0) continue;
      demand(pread(stats, &values[k], 8, header.data_offset + one->offset) == 8, one->name);
    }
  }
  free(one);
}

static void set_processor(const Vm* vm, int bits) {
  struct kvm_sregs sregs;
  DEMAND(vm->vcpu, KVM_GET_SREGS, &sregs);
  set_flat(&sregs, bits);
  if (bits == 64) {
    uint64_t* tables = (uint64_t*)(vm->memory + kTables);
    tables[0] = (kTables + 0x1000) | 3, tables[512] = (kTables + 0x2000) | 3, tables[1024] = 0x83;
    sregs.cr3 = kTables, sregs.cr4 |= 1 << 5, sregs.efer |= 1 << 8 | 1 << 10, sregs.cr0 |= 1ul << 31;
  }
  struct kvm_regs regs = {.rip = kCode, .rflags = 2};
  DEMAND(vm->vcpu, KVM_SET_SREGS, &sregs);
  DEMAND(vm->vcpu, KVM_SET_REGS, &regs);
}

int main(void) {
  for (size_t i = 0; i < sizeof guests / sizeof *guests; i++) {
    const Vm vm = create_vm(kBytes, guests[i].chips);
    show_all_features(&vm, vm.vcpu);
    memcpy(vm.memory + kCode, guests[i].code, (size_t)(guests[i].end - guests[i].code));
    set_processor(&vm, guests[i].bits);
    const int stats = ioctl(vm.vcpu, KVM_GET_STATS_FD, NULL);
    demand(stats >= 0, "KVM_GET_STATS_FD");
    uint64_t before[kCounted], after[kCounted];
    read_counters(stats, before);
    do {
      DEMAND(vm.vcpu, KVM_RUN, 0);
    } while (vm.run->exit_reason == KVM_EXIT_SET_TPR);
    read_counters(stats, after);
    if (vm.run->exit_reason != KVM_EXIT_IO || vm.run->io.port != kDebugExit) {
      printf("%s: exit reason %u, %llx\n", guests[i].name, vm.run->exit_reason,
             (unsigned long long)vm.run->hw.hardware_exit_reason);
      return 1;
    }
    struct kvm_regs regs;
    DEMAND(vm.vcpu, KVM_GET_REGS, &regs);
    printf("{\"guest\": \"%s\", \"moves\": %d, \"readBack\": %llu", guests[i].name, kMoves, regs.rdi);
    for (int k = 0; k < kCounted; k++) printf(", \"%s\": %llu", counted[k], (unsigned long long)(after[k] - before[k]));
    printf("}\n");
    close(stats), close(vm.vcpu), close(vm.vm), close(vm.system);
  }
  return 0;
}
