// vm.h: one virtual machine of /dev/kvm, for programs that run in a lab.
#ifndef VTKIT_TEST_LAB_VM_H
#define VTKIT_TEST_LAB_VM_H
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
  int system, vm, vcpu;
  uint8_t* memory;
  struct kvm_run* run;
} Vm;

static inline void demand(int fine, const char* what) {
  if (fine) return;
  perror(what);
  exit(1);
}

#define DEMAND(descriptor, request, ...) demand(ioctl(descriptor, request, __VA_ARGS__) >= 0, #request)

static inline int create_vcpu(const Vm* vm, int number, struct kvm_run** run) {
  const int vcpu = ioctl(vm->vm, KVM_CREATE_VCPU, number);
  demand(vcpu >= 0, "KVM_CREATE_VCPU");
  const int shared = ioctl(vm->system, KVM_GET_VCPU_MMAP_SIZE, 0);
  *run = mmap(NULL, (size_t)shared, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  demand(*run != MAP_FAILED, "mmap of the vCPU");
  return vcpu;
}

// A machine with one processor and memory from address 0 on; with `chips` it has KVM's interrupt controllers and timer.
static inline Vm create_vm(size_t bytes, int chips) {
  Vm made = {.system = open("/dev/kvm", O_RDWR)};
  demand(made.system >= 0, "/dev/kvm");
  made.vm = ioctl(made.system, KVM_CREATE_VM, 0);
  demand(made.vm >= 0, "KVM_CREATE_VM");
  DEMAND(made.vm, KVM_SET_TSS_ADDR, 0xfffbd000ul);
  if (chips) {
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    DEMAND(made.vm, KVM_CREATE_IRQCHIP, 0);
    DEMAND(made.vm, KVM_CREATE_PIT2, &pit);
  }
  made.memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  demand(made.memory != MAP_FAILED, "mmap");
  struct kvm_userspace_memory_region region = {0, 0, 0, bytes, (uintptr_t)made.memory};
  DEMAND(made.vm, KVM_SET_USER_MEMORY_REGION, &region);
  made.vcpu = create_vcpu(&made, 0, &made.run);
  return made;
}

// The guest sees what KVM can show.
static inline void show_all_features(const Vm* vm, int vcpu) {
  struct kvm_cpuid2* cpuid = calloc(1, sizeof *cpuid + 256 * sizeof(struct kvm_cpuid_entry2));
  cpuid->nent = 256;
  DEMAND(vm->system, KVM_GET_SUPPORTED_CPUID, cpuid);
  DEMAND(vcpu, KVM_SET_CPUID2, cpuid);
  free(cpuid);
}

// Flat segments of 4 GiB, the code's of 16, 32 or 64 bits.
static inline void set_flat(struct kvm_sregs* sregs, int bits) {
  const struct kvm_segment data = {
      .limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .db = bits != 16, .s = 1, .g = 1};
  sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = sregs->cs = data;
  sregs->cs.selector = 8, sregs->cs.type = 11;
  sregs->cs.db = bits == 32, sregs->cs.l = bits == 64;
  sregs->cr0 |= 1;
}
#endif
