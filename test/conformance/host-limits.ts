/**
 * What one kernel module cannot do: kvm_pvm runs guests without VMX or SVM and interprets their ring 0. A guest that
 * needs more is skipped on such a host, with what was seen there; on kvm_intel and kvm_amd none is.
 */
import { existsSync } from 'node:fs';

const seen: Readonly<Record<string, string>> = {
  'alu-decimal': 'DAA raises #UD',
  'checks-32': 'INT1 ends with KVM_INTERNAL_ERROR_EMULATION',
  'checks-64': 'MOV CR0 takes upper bits without #GP',
  descriptors: 'LAR ends with KVM_INTERNAL_ERROR_EMULATION',
  'exceptions-32': 'LEA of a register ends with KVM_INTERNAL_ERROR_EMULATION, not with #UD',
  'exceptions-64': 'DAA in 64-bit mode ends with KVM_INTERNAL_ERROR_EMULATION, not with #UD',
  gates: 'INT n in protected mode ends with KVM_INTERNAL_ERROR_EMULATION',
  'interrupt-stacks': 'INT3 in 64-bit mode ends with KVM_INTERNAL_ERROR_EMULATION',
  'page-faults-32': 'MOV CR0 that enables 32-bit paging raises #GP',
  'paging-2level': 'MOV CR0 that enables 32-bit paging raises #GP',
  'paging-pae': 'MOV CR0 that enables PAE paging raises #GP',
  rings: 'IRET in 32-bit mode ends with KVM_INTERNAL_ERROR_EMULATION',
  segments: 'a far jump through an LDT ends with KVM_INTERNAL_ERROR_EMULATION',
  'single-step': 'the single-step trap of one instruction is missing',
  'stack-frames': 'ENTER ends with KVM_INTERNAL_ERROR_EMULATION',
  syscall: 'SYSRET to 32-bit code and SYSCALL from it are not there',
  timer: 'interrupts come up to a batch of interpreted instructions late',
};

/** Why this host's KVM cannot run a guest, or undefined if it can. */
export function limitOf(guest: string): string | undefined {
  return existsSync('/sys/module/kvm_pvm') && seen[guest] !== undefined ? `kvm_pvm: ${seen[guest]}` : undefined;
}
