/** What VT-x can do here: the processor, the firmware's lock, the kernel, and use. */
import type { HostFacts } from '../host/facts.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { all, any, type Check, cpuidFeature, from, mayControl, msr, type Verdict, verdict, vmxField } from './check.ts';
import { usable } from './kvm.ts';

const capability = (facts: HostFacts): Verdict => cpuidFeature(facts, 'vmx');
const noMsr = 'run as root with the msr module loaded (modprobe msr): VMX capability MSRs are in /dev/cpu/*/msr';

/** Rules about capability MSRs: without VMX there are none, and the answer is no; else they must be read. */
const ofVmx =
  (rule: (facts: HostFacts) => Verdict) =>
  (facts: HostFacts): Verdict => {
    const vmx = capability(facts);
    return vmx.state === 'no'
      ? { ...verdict('no', 'the processor has no VMX', vmx.evidence), remedy: null }
      : rule(facts);
  };

const controls = (id: string, title: string, rule: (facts: HostFacts) => Verdict): Check => ({
  id,
  area: 'vt-x',
  title,
  rule: ofVmx(rule),
  remedy: { unknown: noMsr },
});

function firmware(facts: HostFacts): Verdict {
  return from(
    msr(facts, 0x3a),
    (value) => {
      const locked = (value & 1n) !== 0n;
      if ((value & 4n) !== 0n) return ['yes', 'IA32_FEATURE_CONTROL allows VMX outside SMX'];
      return locked
        ? ['no', 'IA32_FEATURE_CONTROL is locked with VMX off: the firmware switched it off']
        : ['yes', 'IA32_FEATURE_CONTROL is not locked: Linux enables VMX itself'];
    },
    { show: hex },
  );
}

/** kvm_intel is loaded, or the kernel shows the vmx flag: it found nothing against using VMX. */
function kernel(facts: HostFacts): Verdict {
  const module = from(
    facts.modules,
    (loaded) => (loaded.has('kvm_intel') ? ['yes', 'kvm_intel is loaded'] : ['no', 'kvm_intel is not loaded']),
    {
      show: (loaded) => [...loaded.keys()].join(' '),
    },
  );
  const flag = from(
    facts.cpuinfo,
    ({ flags }) =>
      flags.includes('vmx') ? ['yes', '/proc/cpuinfo shows vmx'] : ['no', '/proc/cpuinfo does not show vmx'],
    {
      show: ({ flags }) => (flags.includes('vmx') ? 'flags: vmx' : 'flags without vmx'),
    },
  );
  return all(flag, module);
}

export const vtX: readonly Check[] = [
  {
    id: 'vt-x',
    area: 'vt-x',
    title: 'processor has VMX',
    rule: capability,
    remedy: {
      no: 'in a virtual machine: ask its host for nested virtualization; guests run without VMX on the emulated backend, and on /dev/kvm where kvm.usable says yes',
    },
  },
  {
    id: 'vt-x.firmware',
    area: 'vt-x',
    title: 'firmware allows VMX',
    rule: ofVmx(firmware),
    remedy: {
      no: 'enable Intel Virtualization Technology (VT-x) in the firmware setup, then switch the machine off and on',
      unknown: noMsr,
    },
  },
  {
    id: 'vt-x.kernel',
    area: 'vt-x',
    title: 'kernel uses VMX',
    rule: ofVmx(kernel),
    remedy: { no: 'modprobe kvm_intel; the kernel log says why if it refuses' },
  },
  {
    id: 'vt-x.usable',
    area: 'vt-x',
    title: 'usable now',
    rule: (facts) => {
      const vmx = capability(facts);
      return vmx.state === 'no' ? vmx : all(vmx, kernel(facts), usable(facts));
    },
    remedy: { no: 'see the findings above that say no', unknown: 'see the findings above that say unknown' },
  },
  controls('vt-x.ept', 'EPT', (facts) => mayControl(facts, 'secondary', 'enableEpt')),
  controls('vt-x.ept.pages-2m', 'EPT pages of 2 MiB', (facts) => vmxField(facts, 'eptVpid', 'pages2M')),
  controls('vt-x.ept.pages-1g', 'EPT pages of 1 GiB', (facts) => vmxField(facts, 'eptVpid', 'pages1G')),
  controls('vt-x.ept.accessed-dirty', 'EPT accessed and dirty flags', (facts) =>
    vmxField(facts, 'eptVpid', 'accessedDirty'),
  ),
  controls('vt-x.vpid', 'VPID', (facts) => mayControl(facts, 'secondary', 'enableVpid')),
  controls('vt-x.unrestricted-guest', 'unrestricted guest', (facts) =>
    mayControl(facts, 'secondary', 'unrestrictedGuest'),
  ),
  controls('vt-x.flex-priority', 'FlexPriority', (facts) =>
    all(mayControl(facts, 'primary', 'useTprShadow'), mayControl(facts, 'secondary', 'virtualizeApicAccesses')),
  ),
  controls('vt-x.apicv', 'APIC virtualization', (facts) =>
    all(
      mayControl(facts, 'primary', 'useTprShadow'),
      mayControl(facts, 'secondary', 'apicRegisterVirtualization'),
      mayControl(facts, 'secondary', 'virtualInterruptDelivery'),
      mayControl(facts, 'pin', 'postedInterrupts'),
    ),
  ),
  controls('vt-x.posted-interrupts', 'posted interrupts', (facts) => mayControl(facts, 'pin', 'postedInterrupts')),
  controls('vt-x.preemption-timer', 'preemption timer', (facts) => mayControl(facts, 'pin', 'preemptionTimer')),
  controls('vt-x.vmcs-shadowing', 'VMCS shadowing', (facts) => mayControl(facts, 'secondary', 'vmcsShadowing')),
  controls('vt-x.pml', 'page-modification logging', (facts) => mayControl(facts, 'secondary', 'enablePml')),
  controls('vt-x.tsc-scaling', 'TSC scaling', (facts) => mayControl(facts, 'secondary', 'useTscScaling')),
  {
    id: 'vt-x.flex-migration',
    area: 'vt-x',
    title: 'FlexMigration (CPUID faulting)',
    rule: (facts) =>
      from(
        msr(facts, 0xce),
        (value) =>
          (value >> 31n) & 1n
            ? ['yes', 'MSR_PLATFORM_INFO bit 31: CPUID can be made to fault']
            : ['no', 'MSR_PLATFORM_INFO bit 31 is clear'],
        {
          show: hex,
        },
      ),
    remedy: { unknown: noMsr, no: 'guests need no help for it: KVM gives each its CPUID (KVM_SET_CPUID2)' },
  },
  {
    id: 'vt-x.nested',
    area: 'vt-x',
    title: 'nested VMX for guests',
    rule: ofVmx((facts) =>
      any(
        from(
          facts.modules,
          (loaded) =>
            /^[Y1]/.test(loaded.get('kvm_intel')?.nested ?? '')
              ? ['yes', 'kvm_intel offers nested VMX']
              : ['no', 'kvm_intel does not offer nested VMX'],
          {
            show: (loaded) => `kvm_intel nested=${loaded.get('kvm_intel')?.nested ?? 'not loaded'}`,
          },
        ),
      ),
    ),
    remedy: { no: 'load kvm_intel with nested=1' },
  },
];
