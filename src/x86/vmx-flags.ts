/** The names that /proc/cpuinfo's line `vmx flags` has for capabilities (Linux 5.6 and later, asm/vmxfeatures.h). */
import type { ControlName } from './vmx-controls.ts';

/**
 * All of these are as old as the line itself: one that is missing was not there at boot. Linux reads them from the
 * capability MSRs of each processor, so they are the processor's truth where the MSRs themselves cannot be read.
 */
const controlFlags: Readonly<Record<string, ControlName>> = {
  vnmi: ['pin', 'virtualNmis'],
  preemption_timer: ['pin', 'preemptionTimer'],
  posted_intr: ['pin', 'postedInterrupts'],
  tsc_offset: ['primary', 'useTscOffsetting'],
  vtpr: ['primary', 'useTprShadow'],
  mtf: ['primary', 'monitorTrapFlag'],
  vapic: ['secondary', 'virtualizeApicAccesses'],
  ept: ['secondary', 'enableEpt'],
  vpid: ['secondary', 'enableVpid'],
  unrestricted_guest: ['secondary', 'unrestrictedGuest'],
  vapic_reg: ['secondary', 'apicRegisterVirtualization'],
  vid: ['secondary', 'virtualInterruptDelivery'],
  ple: ['secondary', 'pauseLoopExiting'],
  vmfunc: ['secondary', 'enableVmFunctions'],
  shadow_vmcs: ['secondary', 'vmcsShadowing'],
  pml: ['secondary', 'enablePml'],
  ept_mode_based_exec: ['secondary', 'modeBasedExecuteControl'],
  tsc_scaling: ['secondary', 'useTscScaling'],
};

const fieldFlags: Readonly<Record<string, readonly [register: string, name: string]>> = {
  invvpid: ['eptVpid', 'invvpid'],
  ept_x_only: ['eptVpid', 'executeOnly'],
  ept_ad: ['eptVpid', 'accessedDirty'],
  ept_1gb: ['eptVpid', 'pages1G'],
  eptp_switching: ['vmfunc', 'eptpSwitching'],
};

export const vmxFlags: Readonly<Record<string, readonly [register: string, name: string]>> = {
  ...controlFlags,
  ...fieldFlags,
};

/** The flag that stands for a control or a field, if one does. */
export function vmxFlag(register: string, name: string): string | undefined {
  return Object.keys(vmxFlags).find((flag) => vmxFlags[flag]?.[0] === register && vmxFlags[flag]?.[1] === name);
}
