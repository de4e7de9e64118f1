// The Bochs lab's variants, as data: what kvm_intel is told. The processor is a Haswell, which has VMX with EPT, VPID, unrestricted
// guest, FlexPriority and VMCS shadowing.

/** @type {Record<string, { is: string, kernel: string[] }>} */
export const variants = {
  default: { is: 'VMX with all that a Haswell has, and kvm_intel using it', kernel: [] },
  'no-flexpriority': { is: 'kvm_intel without FlexPriority', kernel: ['kvm_intel.flexpriority=0'] },
  'no-ept': { is: 'kvm_intel with page tables of its own instead of EPT', kernel: ['kvm_intel.ept=0'] },
};

export const modules = ['msr', 'cpuid', 'kvm_intel'];
