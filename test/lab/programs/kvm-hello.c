// kvm-hello.c: runs a guest of 14 bytes on /dev/kvm: in real mode it sends "hello" to COM1 and halts.
#include "vm.h"

enum { kBytes = 0x100000, kCode = 0x1000, kText = 0x1020 };

// mov dx, 3f8h; mov si, kText; mov cx, 6; again: lodsb; out dx, al; loop again; hlt
static const unsigned char code[] = {0xba, 0xf8, 0x03, 0xbe, 0x20, 0x10, 0xb9, 6, 0, 0xac, 0xee, 0xe2, 0xfc, 0xf4};

int main(void) {
  const Vm vm = create_vm(kBytes, 0);
  memcpy(vm.memory + kCode, code, sizeof code);
  memcpy(vm.memory + kText, "hello\n", 6);
  struct kvm_sregs sregs;
  DEMAND(vm.vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = 0;
  struct kvm_regs regs = {.rip = kCode, .rflags = 2};
  DEMAND(vm.vcpu, KVM_SET_SREGS, &sregs);
  DEMAND(vm.vcpu, KVM_SET_REGS, &regs);
  for (;;) {
    DEMAND(vm.vcpu, KVM_RUN, 0);
    const struct kvm_run* run = vm.run;
    if (run->exit_reason == KVM_EXIT_IO) {
      fwrite((char*)run + run->io.data_offset, run->io.size, run->io.count, stdout);
    } else if (run->exit_reason == KVM_EXIT_HLT) {
      return 0;
    } else {
      printf("exit reason %u, %llx\n", run->exit_reason, (unsigned long long)run->hw.hardware_exit_reason);
      return 1;
    }
  }
}
