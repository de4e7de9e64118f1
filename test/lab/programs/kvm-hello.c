// kvm-hello.c: runs a guest of 14 bytes on /dev/kvm: in real mode it sends "hello" to COM1 and halts.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { kBytes = 0x100000, kCode = 0x1000, kText = 0x1020, kTaskState = 0xfffbd000u };

// mov dx, 3f8h; mov si, kText; mov cx, 6; again: lodsb; out dx, al; loop again; hlt
static const unsigned char code[] = {0xba, 0xf8, 0x03, 0xbe, 0x20, 0x10, 0xb9, 6, 0, 0xac, 0xee, 0xe2, 0xfc, 0xf4};

static int failed(const char* what) {
  perror(what);
  return 1;
}

int main(void) {
  const int kvm = open("/dev/kvm", O_RDWR);
  if (kvm < 0) return failed("/dev/kvm");
  const int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) return failed("KVM_CREATE_VM");
  if (ioctl(vm, KVM_SET_TSS_ADDR, (unsigned long)kTaskState) < 0) return failed("KVM_SET_TSS_ADDR");
  unsigned char* memory = mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return failed("mmap");
  memcpy(memory + kCode, code, sizeof code);
  memcpy(memory + kText, "hello\n", 6);
  struct kvm_userspace_memory_region region = {0, 0, 0, kBytes, (unsigned long)memory};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) return failed("KVM_SET_USER_MEMORY_REGION");
  const int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  if (vcpu < 0) return failed("KVM_CREATE_VCPU");
  const int bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  struct kvm_run* run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (run == MAP_FAILED) return failed("mmap of the vCPU");
  struct kvm_sregs sregs;
  if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0) return failed("KVM_GET_SREGS");
  sregs.cs.base = sregs.cs.selector = 0;
  struct kvm_regs regs = {.rip = kCode, .rflags = 2};
  if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0) return failed("KVM_SET_REGS");
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0) < 0) return failed("KVM_RUN");
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
