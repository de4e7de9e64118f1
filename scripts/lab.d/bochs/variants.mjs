// The Bochs lab's variants, as data: the kernel, and what kvm_intel is told. The processor is a Haswell, which has VMX with EPT, VPID, unrestricted
// guest, FlexPriority and VMCS shadowing.

const modules = ['msr', 'cpuid', 'kvm_intel'];

/** @type {Record<string, { is: string, kernel: string[], modules: string[], small?: boolean }>} */
export const variants = {
  default: { is: 'VMX with all that a Haswell has, and kvm_intel using it', kernel: [], modules },
  'no-flexpriority': { is: 'kvm_intel without FlexPriority', kernel: ['kvm_intel.flexpriority=0'], modules },
  'no-ept': { is: 'kvm_intel with page tables of its own instead of EPT', kernel: ['kvm_intel.ept=0'], modules },
  small: { is: 'the default on the small Linux 6.12', kernel: [], modules: ['kvm_intel'], small: true },
};
