/** What VT-x can do here: the processor, the firmware's lock, the kernel, and use. */
import { type HostFacts, isForeign } from '../host/facts.ts';
import { hasFeature, identify } from '../x86/cpuid.ts';
import { cpuidMaskOf } from '../x86/cpuid-masks.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { all, type Check, concluded, evidence, from, type Verdict, verdict } from './check.ts';
import { usable } from './kvm.ts';
import { cpuidFeature, firstLeaves, isVirtual, judgeMsr, mayControl, mayCr4, msrRemedy, vmxField } from './vmx.ts';

function capability(facts: HostFacts): Verdict {
  const vmx = cpuidFeature(facts, 'vmx');
  if (vmx.state !== 'no') return vmx;
  if (isVirtual(facts)) {
    const remedy =
      "let this virtual machine's host offer nested virtualization (kvm_intel nested=1, CPU model host-passthrough)";
    return { ...vmx, remedy };
  }
  const svm = cpuidFeature(facts, 'svm');
  return svm.state === 'yes' ? { ...vmx, why: `${vmx.why}; it has svm, AMD's counterpart`, remedy: null } : vmx;
}

/** Rules about the rest of VT-x: without VMX the answer is no, and the cure is that of `vt-x`. */
const ofVmx =
  (rule: (facts: HostFacts) => Verdict) =>
  (facts: HostFacts): Verdict => {
    const vmx = capability(facts);
    return vmx.state === 'no' ? verdict('no', 'the processor announces no VMX', vmx.evidence, null) : rule(facts);
  };

/** IA32_FEATURE_CONTROL (SDM Vol. 3C, "Enabling and Entering VMX Operation"); else what Linux made of it. */
function firmware(facts: HostFacts): Verdict {
  const said = judgeMsr(facts, 0x3a, judgeFeatureControl);
  const answers = [said, provenByUse(facts), clearedFlag(facts)];
  const conclusive = answers.find(({ state }) => state !== 'unknown');
  return {
    ...(conclusive ?? { ...said, remedy: msrRemedy(facts) }),
    evidence: answers.flatMap((answer) => answer.evidence),
  };
}

function judgeFeatureControl(value: bigint): readonly ['yes' | 'no', string] {
  const locked = (value & 1n) !== 0n;
  if ((value & 4n) !== 0n) return ['yes', 'IA32_FEATURE_CONTROL allows VMX outside SMX'];
  if (!locked) return ['yes', 'IA32_FEATURE_CONTROL is not locked: Linux enables VMX itself'];
  return (value & 2n) !== 0n
    ? ['no', 'IA32_FEATURE_CONTROL is locked with VMX inside SMX only: for a measured launch (TXT)']
    : ['no', 'IA32_FEATURE_CONTROL is locked with VMX off'];
}

/** Since 5.6, Linux takes the vmx flag away where IA32_FEATURE_CONTROL forbids VMX; older kernels leave it. */
function clearedFlag(facts: HostFacts): Verdict {
  const { cpuinfo, cmdline } = facts;
  const proof = [evidence(cpuinfo, ({ flags }) => `flags ${flags.includes('vmx') ? 'with' : 'without'} vmx`)];
  if (cpuinfo.error !== undefined) return verdict('unknown', `${cpuinfo.source}: ${cpuinfo.error}`, proof);
  const { flags, vmxFlags } = cpuinfo.value;
  if (flags.includes('vmx')) {
    return vmxFlags === null
      ? verdict('unknown', 'this kernel shows vmx whatever the firmware locked', proof)
      : verdict('yes', 'the kernel shows vmx, which it takes away where firmware forbids it', proof);
  }
  const asked = /\bclearcpuid=/.test(cmdline.value ?? '');
  return asked
    ? verdict('unknown', 'the kernel was told to hide CPU features (clearcpuid)', [...proof, evidence(cmdline)])
    : verdict('no', 'the kernel took the vmx flag away, as it does where firmware locked VMX off', proof);
}

/** Machines of kvm_intel run in VMX operation: then nothing forbids it. */
function provenByUse(facts: HostFacts): Verdict {
  const made = usable(facts);
  return facts.modules.value?.has('kvm_intel') && made.state === 'yes'
    ? verdict('yes', 'kvm_intel created a machine', made.evidence)
    : verdict('unknown', 'no machine of kvm_intel proves it', made.evidence);
}

function loaded(facts: HostFacts): Verdict {
  const remedy = 'modprobe kvm_intel; the kernel log says why if it refuses';
  return from(
    facts.modules,
    (modules) =>
      modules.has('kvm_intel') ? ['yes', 'kvm_intel is loaded'] : ['no', 'kvm_intel is not loaded', remedy],
    { show: (modules) => [...modules.keys()].join(' ') || 'none' },
  );
}

/** Whether this kernel can: loaded or not. */
function kernel(facts: HostFacts): Verdict {
  const built = from(
    facts.kernelConfig,
    ({ KVM_INTEL }) =>
      KVM_INTEL === 'n'
        ? ['no', 'the kernel was built without CONFIG_KVM_INTEL']
        : ['yes', `the kernel was built with kvm_intel${KVM_INTEL === 'm' ? ' as a module' : ''}`],
    { show: ({ KVM_INTEL }) => `CONFIG_KVM_INTEL=${KVM_INTEL}` },
  );
  const now = loaded(facts);
  return now.state === 'yes' ? now : { ...built, evidence: [...built.evidence, ...now.evidence] };
}

interface Feature {
  readonly id: string;
  readonly title: string;
  readonly rule: (facts: HostFacts) => Verdict;
  readonly follows?: string;
  /** kvm_intel's switch for it. */
  readonly parameter?: string;
}

const features: readonly Feature[] = [
  { id: 'ept', title: 'EPT', rule: (facts) => mayControl(facts, 'secondary', 'enableEpt'), parameter: 'ept' },
  {
    id: 'ept.pages-2m',
    follows: 'vt-x.ept',
    title: 'EPT pages of 2 MiB',
    rule: (facts) => vmxField(facts, 'eptVpid', 'pages2M'),
  },
  {
    id: 'ept.pages-1g',
    follows: 'vt-x.ept',
    title: 'EPT pages of 1 GiB',
    rule: (facts) => vmxField(facts, 'eptVpid', 'pages1G'),
  },
  {
    id: 'ept.accessed-dirty',
    follows: 'vt-x.ept',
    title: 'EPT accessed and dirty flags',
    rule: (facts) => vmxField(facts, 'eptVpid', 'accessedDirty'),
    parameter: 'eptad',
  },
  {
    id: 'ept.execute-only',
    follows: 'vt-x.ept',
    title: 'EPT execute-only pages',
    rule: (facts) => vmxField(facts, 'eptVpid', 'executeOnly'),
  },
  {
    id: 'ept.levels-4',
    follows: 'vt-x.ept',
    title: 'EPT with 4 levels',
    rule: (facts) => vmxField(facts, 'eptVpid', 'pageWalk4'),
  },
  {
    id: 'ept.levels-5',
    follows: 'vt-x.ept',
    title: 'EPT with 5 levels',
    rule: (facts) => vmxField(facts, 'eptVpid', 'pageWalk5'),
  },
  {
    id: 'ept.mode-based-execute',
    follows: 'vt-x.ept',
    title: 'mode-based execute control (MBEC)',
    rule: (facts) => mayControl(facts, 'secondary', 'modeBasedExecuteControl'),
  },
  {
    id: 'ept.hlat',
    follows: 'vt-x.ept',
    title: 'hypervisor-managed linear translation (HLAT)',
    rule: (facts) => mayControl(facts, 'tertiary', 'enableHlat'),
  },
  {
    id: 'ept.violation-ve',
    follows: 'vt-x.ept',
    title: 'EPT violations as #VE',
    rule: (facts) => mayControl(facts, 'secondary', 'eptViolationVe'),
  },
  { id: 'vm-functions', title: 'VM functions', rule: (facts) => mayControl(facts, 'secondary', 'enableVmFunctions') },
  {
    id: 'vm-functions.eptp-switching',
    follows: 'vt-x.vm-functions',
    title: 'EPTP switching without an exit',
    rule: (facts) => vmxField(facts, 'vmfunc', 'eptpSwitching'),
  },
  { id: 'vpid', title: 'VPID', rule: (facts) => mayControl(facts, 'secondary', 'enableVpid'), parameter: 'vpid' },
  {
    id: 'unrestricted-guest',
    title: 'unrestricted guest',
    rule: (facts) => mayControl(facts, 'secondary', 'unrestrictedGuest'),
    parameter: 'unrestricted_guest',
  },
  {
    id: 'flex-priority',
    title: 'FlexPriority',
    rule: (facts) =>
      all(mayControl(facts, 'primary', 'useTprShadow'), mayControl(facts, 'secondary', 'virtualizeApicAccesses')),
    parameter: 'flexpriority',
  },
  {
    id: 'apicv',
    title: 'APIC virtualization',
    rule: (facts) =>
      all(
        mayControl(facts, 'primary', 'useTprShadow'),
        mayControl(facts, 'secondary', 'apicRegisterVirtualization'),
        mayControl(facts, 'secondary', 'virtualInterruptDelivery'),
        mayControl(facts, 'pin', 'postedInterrupts'),
      ),
    parameter: 'enable_apicv',
  },
  {
    id: 'ipi-virtualization',
    title: 'IPI virtualization',
    rule: (facts) => mayControl(facts, 'tertiary', 'ipiVirtualization'),
    parameter: 'enable_ipiv',
  },
  {
    id: 'posted-interrupts',
    title: 'posted interrupts',
    rule: (facts) => mayControl(facts, 'pin', 'postedInterrupts'),
  },
  {
    id: 'preemption-timer',
    title: 'preemption timer',
    rule: (facts) => mayControl(facts, 'pin', 'preemptionTimer'),
    parameter: 'preemption_timer',
  },
  {
    id: 'vmcs-shadowing',
    title: 'VMCS shadowing',
    rule: (facts) => mayControl(facts, 'secondary', 'vmcsShadowing'),
    parameter: 'enable_shadow_vmcs',
  },
  {
    id: 'pml',
    title: 'page-modification logging',
    rule: (facts) => mayControl(facts, 'secondary', 'enablePml'),
    parameter: 'pml',
  },
  { id: 'tsc-scaling', title: 'TSC scaling', rule: (facts) => mayControl(facts, 'secondary', 'useTscScaling') },
  {
    id: 'bus-lock-detection',
    title: 'bus-lock detection',
    rule: (facts) => mayControl(facts, 'secondary', 'busLockDetection'),
  },
  {
    id: 'processor-trace',
    title: 'Processor Trace in guests',
    rule: (facts) => all(vmxField(facts, 'misc', 'ptInVmx'), mayControl(facts, 'secondary', 'ptUsesGuestPhysical')),
    parameter: 'pt_mode',
  },
  { id: 'sgx', title: 'SGX in guests', rule: (facts) => mayControl(facts, 'secondary', 'enableEnclsExiting') },
  {
    id: 'cet',
    title: 'CET in guests',
    rule: (facts) =>
      all(
        mayControl(facts, 'entry', 'loadCetState'),
        mayControl(facts, 'exit', 'loadCetState'),
        mayCr4(facts, 'CET', 23),
      ),
  },
  {
    id: 'fred',
    title: 'FRED in guests',
    rule: (facts) =>
      all(mayControl(facts, 'entry', 'loadFred'), mayControl(facts, 'exit2', 'loadFred'), mayCr4(facts, 'FRED', 32)),
  },
  { id: 'lass', title: 'LASS in guests', rule: (facts) => mayCr4(facts, 'LASS', 27) },
];

/** The processor's feature, and KVM's use of it: what a parameter switched off is there all the same. */
function checksOf({ id: name, title, rule, parameter, ...rest }: Feature): Check[] {
  const id = `vt-x.${name}`;
  const has: Check = { ...rest, id, area: 'vt-x', title, kind: 'feature', rule: ofVmx(rule) };
  if (parameter === undefined) return [has];
  const used = (facts: HostFacts): Verdict => all(rule(facts), switchedOn(facts, parameter));
  return [
    has,
    { id: `${id}.kernel`, area: 'vt-x', title: `KVM uses ${title}`, kind: 'use', follows: id, rule: ofVmx(used) },
  ];
}

function switchedOn(facts: HostFacts, parameter: string): Verdict {
  const now = loaded(facts);
  if (now.state !== 'yes') return { ...now, remedy: null };
  return from(
    facts.modules,
    (modules) => {
      const value = modules.get('kvm_intel')?.[parameter];
      if (value === undefined) return ['unknown', `this kvm_intel has no parameter ${parameter}`];
      return /^[Y1-9]/.test(value)
        ? ['yes', `kvm_intel uses it (${parameter}=${value})`]
        : ['no', `kvm_intel does not use it (${parameter}=${value})`, `load kvm_intel with ${parameter}=1`];
    },
    { show: (modules) => `kvm_intel ${parameter}=${modules.get('kvm_intel')?.[parameter] ?? ''}` },
  );
}

/** CPUID of a host can be made to show less, for programs and for guests without VMX alike. */
function flexMigration(facts: HostFacts): Verdict {
  const kernelFound = from(
    facts.cpuinfo,
    ({ flags }) =>
      flags.includes('cpuid_fault')
        ? ['yes', 'the kernel found cpuid_fault']
        : ['no', 'the kernel found no cpuid_fault (/proc/cpuinfo)'],
    { show: ({ flags }) => (flags.includes('cpuid_fault') ? 'flags with cpuid_fault' : 'flags without cpuid_fault') },
  );
  const cpu = identify(firstLeaves(facts));
  const mask = cpu && cpuidMaskOf(cpu);
  if (mask !== undefined) {
    const signature = { source: 'CPUID.1:EAX', raw: `0x${cpu?.signature}` };
    return verdict('yes', `this model masks CPUID by MSR ${mask.msrs.map(hex).join(', ')}`, [signature]);
  }
  const said = judgeMsr(facts, 0xce, (value) =>
    (value & (1n << 31n)) !== 0n
      ? ['yes', 'CPUID can be made to fault (MSR 0xce bit 31)']
      : ['no', 'MSR 0xce bit 31 is 0'],
  );
  return said.state === 'unknown' ? { ...kernelFound, evidence: [...said.evidence, ...kernelFound.evidence] } : said;
}

/** KVM's word is the one that counts for its guests: VMX in the CPUID that it can give them. Else its parameter. */
function nested(facts: HostFacts): Verdict {
  const remedy = 'load kvm_intel with nested=1';
  const parameter = switchedOn(facts, 'nested');
  const given = facts.kvm.value?.supportedCpuid;
  if (given === undefined) return parameter;
  const said = from(
    given,
    (leaves) =>
      hasFeature(leaves, 'vmx') ? ['yes', 'KVM gives guests VMX'] : ['no', 'KVM gives guests no VMX', remedy],
    { show: (leaves) => `vmx = ${hasFeature(leaves, 'vmx') ? 1 : 0}` },
  );
  return said.state === 'unknown' ? parameter : { ...said, evidence: [...said.evidence, ...parameter.evidence] };
}

/** What a file can tell at most: whether something keeps VMX from use for certain. */
function offered(said: Verdict): Verdict {
  const why = 'processor and firmware offer VMX; a file does not tell whether a kernel uses it';
  return said.state === 'yes' ? { ...said, state: 'unknown', why } : said;
}

export const vtX: readonly Check[] = [
  { id: 'vt-x', area: 'vt-x', title: 'processor has VMX', rule: capability },
  {
    id: 'vt-x.firmware',
    area: 'vt-x',
    title: 'firmware allows VMX',
    rule: ofVmx(firmware),
    remedy: {
      no: 'enable Intel Virtualization Technology (VT-x) in the firmware setup, then switch the machine off and on',
    },
  },
  {
    id: 'vt-x.kernel',
    area: 'vt-x',
    title: 'kernel supports VMX',
    rule: kernel,
    remedy: {
      no: 'use a kernel with kvm_intel (CONFIG_KVM_INTEL), as distributions build it',
      unknown: 'modprobe kvm_intel tells',
    },
  },
  {
    id: 'vt-x.usable',
    area: 'vt-x',
    title: 'usable now',
    rule: (facts) => {
      const vmx = capability(facts);
      if (vmx.state === 'no') return vmx;
      if (isForeign(facts)) return offered(all(vmx, firmware(facts)));
      return concluded(all(vmx, firmware(facts), loaded(facts), usable(facts)), 'kvm_intel created a machine');
    },
  },
  ...features.flatMap(checksOf),
  { id: 'vt-x.nested', area: 'vt-x', title: 'nested VMX for guests', rule: ofVmx(nested) },
  {
    id: 'vt-x.flex-migration',
    area: 'vt-x',
    title: 'FlexMigration: CPUID can be masked',
    rule: flexMigration,
    remedy: { no: 'nothing to do for guests: KVM gives each its own CPUID (KVM_SET_CPUID2)' },
  },
];
