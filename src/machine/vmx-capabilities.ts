/** What a vCPU says of its VMX: the capability MSRs that it has, and CPUID's widths of addresses. */
import { NotSupportedError } from '../errors.ts';
import type { VmxProcessor } from '../vmcs/check.ts';
import { vmxMsrs } from '../x86/vmx-msrs.ts';
import type { Vcpu } from './vcpu.ts';

const basic = 0x480;
/** MAXPHYADDR and the linear-address width (SDM Vol. 2A, CPUID). */
const widths = 0x8000_0008;

export function vmxCapabilities(vcpu: Vcpu): VmxProcessor {
  const msrs = new Map<number, bigint>();
  for (const index of vmxMsrs.filter((each) => each >= basic)) {
    try {
      for (const [msr, value] of vcpu.getMsrs([index])) msrs.set(msr, value);
    } catch (error) {
      if (!(error instanceof NotSupportedError)) throw error;
    }
  }
  if (!msrs.has(basic)) {
    throw new NotSupportedError('the processors of this machine have no VMX', {
      requires: "backend: 'emulated', or a host whose KVM nests (kvm_intel nested=1)",
    });
  }
  const eax = vcpu.getCpuid().find(({ leaf }) => leaf === widths)?.eax ?? 0;
  return { msrs, physicalBits: eax & 0xff || 36, linearBits: (eax >> 8) & 0xff || 48 };
}
