/** The guest's state between a KvmVmcs and the registers of a vCPU of KVM. */
import type { Segment, SystemRegisterChanges } from '../machine/sregs.ts';
import type { Vcpu } from '../machine/vcpu.ts';
import type { KvmVmcs } from '../vmcs/kvm-vmcs.ts';

/** IA32_SYSENTER_CS, _ESP, _EIP and IA32_PAT. */
const msrs = {
  guestSysenterCs: 0x174,
  guestSysenterEsp: 0x175,
  guestSysenterEip: 0x176,
  guestPat: 0x277,
} as const;

const segments = {
  Es: 'es',
  Cs: 'cs',
  Ss: 'ss',
  Ds: 'ds',
  Fs: 'fs',
  Gs: 'gs',
  Ldtr: 'ldt',
  Tr: 'tr',
} as const;
type SegmentName = keyof typeof segments;

/** CR4.VMXE is what VMX needs of a guest's CR4: KVM adds it, and refuses it from outside. */
const vmxe = 1n << 13n;
const activeState = 0;

export function store(vcpu: Vcpu, vmcs: KvmVmcs): void {
  const changes: SystemRegisterChanges = {
    ...Object.fromEntries(
      (Object.keys(segments) as SegmentName[]).map((name) => [segments[name], segmentOf(vmcs, name)]),
    ),
    gdt: { base: vmcs.get('guestGdtrBase'), limit: Number(vmcs.get('guestGdtrLimit') & 0xffffn) },
    idt: { base: vmcs.get('guestIdtrBase'), limit: Number(vmcs.get('guestIdtrLimit') & 0xffffn) },
    cr0: vmcs.get('guestCr0'),
    cr3: vmcs.get('guestCr3'),
    cr4: vmcs.get('guestCr4') & ~vmxe,
    efer: vmcs.get('guestEfer'),
  };
  vcpu.setSregs(changes);
  vcpu.regs.rip = vmcs.get('guestRip');
  vcpu.regs.rsp = vmcs.get('guestRsp');
  vcpu.regs.rflags = vmcs.get('guestRflags');
  vcpu.setMsrs((Object.keys(msrs) as (keyof typeof msrs)[]).map((name) => [msrs[name], vmcs.get(name)] as const));
  vcpu.setDebugRegs({ dr7: vmcs.get('guestDr7') });
  vcpu.setMpState(activeState);
  inject(vcpu, vmcs);
}

export function load(vcpu: Vcpu, vmcs: KvmVmcs): void {
  const sregs = vcpu.getSregs();
  for (const [name, key] of Object.entries(segments) as [SegmentName, (typeof segments)[SegmentName]][]) {
    vmcs.set(fieldsOf(name, sregs[key]));
  }
  const events = vcpu.getEvents();
  const read = vcpu.getMsrs(Object.values(msrs));
  vmcs.set({
    guestGdtrBase: sregs.gdt.base,
    guestGdtrLimit: BigInt(sregs.gdt.limit),
    guestIdtrBase: sregs.idt.base,
    guestIdtrLimit: BigInt(sregs.idt.limit),
    guestCr0: sregs.cr0,
    guestCr3: sregs.cr3,
    guestCr4: sregs.cr4 | vmxe,
    guestEfer: sregs.efer,
    guestRip: vcpu.regs.rip,
    guestRsp: vcpu.regs.rsp,
    guestRflags: vcpu.regs.rflags,
    guestDr7: vcpu.getDebugRegs().dr7,
    guestInterruptibilityState: BigInt(events.interruptShadow & 3) | (events.nmiMasked !== 0 ? 8n : 0n),
    entryInterruptionInformation: vmcs.get('entryInterruptionInformation') & 0x7fff_ffffn,
    ...Object.fromEntries(Object.entries(msrs).map(([name, index]) => [name, read.get(index) ?? 0n])),
    entry: { ia32eModeGuest: (sregs.efer & (1n << 10n)) !== 0n },
  });
}

function segmentOf(vmcs: KvmVmcs, name: SegmentName): Segment {
  const rights = Number(vmcs.get(`guest${name}AccessRights`));
  return {
    selector: Number(vmcs.get(`guest${name}Selector`)),
    base: vmcs.get(`guest${name}Base`),
    limit: Number(vmcs.get(`guest${name}Limit`)),
    type: rights & 15,
    s: (rights >> 4) & 1,
    dpl: (rights >> 5) & 3,
    present: (rights >> 7) & 1,
    avl: (rights >> 12) & 1,
    l: (rights >> 13) & 1,
    db: (rights >> 14) & 1,
    g: (rights >> 15) & 1,
    unusable: (rights >> 16) & 1,
  };
}

function fieldsOf(name: SegmentName, segment: Segment) {
  const { type, s, dpl, present, avl, l, db, g, unusable } = segment;
  const rights =
    type | (s << 4) | (dpl << 5) | (present << 7) | (avl << 12) | (l << 13) | (db << 14) | (g << 15) | (unusable << 16);
  return {
    [`guest${name}Selector`]: BigInt(segment.selector),
    [`guest${name}Base`]: segment.base,
    [`guest${name}Limit`]: BigInt(segment.limit),
    [`guest${name}AccessRights`]: BigInt(rights),
  };
}

/** The event that is to be injected, and what blocks interrupts (kvm_vcpu_events). */
function inject(vcpu: Vcpu, vmcs: KvmVmcs): void {
  const information = Number(vmcs.get('entryInterruptionInformation'));
  const valid = information >>> 31 === 1;
  const type = valid ? (information >> 8) & 7 : -1;
  const vector = information & 0xff;
  const blocking = Number(vmcs.get('guestInterruptibilityState'));
  const exception = type === 3 || type === 6;
  vcpu.setEvents({
    exceptionInjected: exception ? 1 : 0,
    exceptionNumber: exception ? vector : 0,
    exceptionHasErrorCode: exception ? (information >> 11) & 1 : 0,
    exceptionErrorCode: exception ? Number(vmcs.get('entryExceptionErrorCode')) : 0,
    interruptInjected: type === 0 || type === 4 ? 1 : 0,
    interruptNumber: type === 0 || type === 4 ? vector : 0,
    interruptSoft: type === 4 ? 1 : 0,
    nmiInjected: type === 2 ? 1 : 0,
    interruptShadow: blocking & 3,
    nmiMasked: (blocking >> 3) & 1,
    // KVM_VCPUEVENT_VALID_NMI_PENDING is not set: what waits stays. KVM_VCPUEVENT_VALID_SHADOW
    flags: 4,
  });
}
