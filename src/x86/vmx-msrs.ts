/** VMX capability MSRs: controls and fields by name (SDM Vol. 3D, appendix A). */

export type ControlRegister = 'pin' | 'primary' | 'secondary' | 'tertiary' | 'exit' | 'exit2' | 'entry';

export interface ControlTable {
  readonly register: ControlRegister;
  readonly msr: number;
  /** The MSR without the default1 class, where BASIC bit 55 says that it exists. */
  readonly trueMsr?: number;
  /** 64 bits of allowed-1 settings, instead of must-be-1 and may-be-1 halves. */
  readonly allowedOnly?: true;
  readonly section: string;
  readonly bits: Readonly<Record<string, number>>;
}

export const vmxControls: readonly ControlTable[] = [
  {
    register: 'pin',
    msr: 0x481,
    trueMsr: 0x48d,
    section: 'A.3.1',
    bits: { externalInterruptExiting: 0, nmiExiting: 3, virtualNmis: 5, preemptionTimer: 6, postedInterrupts: 7 },
  },
  {
    register: 'primary',
    msr: 0x482,
    trueMsr: 0x48e,
    section: 'A.3.2',
    bits: {
      interruptWindowExiting: 2,
      useTscOffsetting: 3,
      hltExiting: 7,
      invlpgExiting: 9,
      mwaitExiting: 10,
      rdpmcExiting: 11,
      rdtscExiting: 12,
      cr3LoadExiting: 15,
      cr3StoreExiting: 16,
      activateTertiaryControls: 17,
      cr8LoadExiting: 19,
      cr8StoreExiting: 20,
      useTprShadow: 21,
      nmiWindowExiting: 22,
      movDrExiting: 23,
      unconditionalIoExiting: 24,
      useIoBitmaps: 25,
      monitorTrapFlag: 27,
      useMsrBitmaps: 28,
      monitorExiting: 29,
      pauseExiting: 30,
      activateSecondaryControls: 31,
    },
  },
  {
    register: 'secondary',
    msr: 0x48b,
    section: 'A.3.3',
    bits: {
      virtualizeApicAccesses: 0,
      enableEpt: 1,
      descriptorTableExiting: 2,
      enableRdtscp: 3,
      virtualizeX2apicMode: 4,
      enableVpid: 5,
      wbinvdExiting: 6,
      unrestrictedGuest: 7,
      apicRegisterVirtualization: 8,
      virtualInterruptDelivery: 9,
      pauseLoopExiting: 10,
      rdrandExiting: 11,
      enableInvpcid: 12,
      enableVmFunctions: 13,
      vmcsShadowing: 14,
      enableEnclsExiting: 15,
      rdseedExiting: 16,
      enablePml: 17,
      eptViolationVe: 18,
      concealVmxFromPt: 19,
      enableXsaves: 20,
      pasidTranslation: 21,
      modeBasedExecuteControl: 22,
      subPageWritePermissions: 23,
      ptUsesGuestPhysical: 24,
      useTscScaling: 25,
      enableUserWaitPause: 26,
      enablePconfig: 27,
      enableEnclvExiting: 28,
      epcVirtualization: 29,
      busLockDetection: 30,
      instructionTimeout: 31,
    },
  },
  {
    register: 'tertiary',
    msr: 0x492,
    allowedOnly: true,
    section: 'A.3.4',
    bits: {
      loadiwkeyExiting: 0,
      enableHlat: 1,
      eptPagingWrite: 2,
      guestPagingVerification: 3,
      ipiVirtualization: 4,
      guestPhysicalAddressWidth: 5,
      enableMsrList: 6,
      virtualizeSpecCtrl: 7,
      apicTimerVirtualization: 8,
    },
  },
  {
    register: 'exit',
    msr: 0x483,
    trueMsr: 0x48f,
    section: 'A.4.1',
    bits: {
      saveDebugControls: 2,
      hostAddressSpaceSize: 9,
      loadPerfGlobalCtrl: 12,
      acknowledgeInterruptOnExit: 15,
      savePat: 18,
      loadPat: 19,
      saveEfer: 20,
      loadEfer: 21,
      savePreemptionTimer: 22,
      clearBndcfgs: 23,
      concealVmxFromPt: 24,
      clearRtitCtl: 25,
      clearLbrCtl: 26,
      clearUinv: 27,
      loadCetState: 28,
      loadPkrs: 29,
      savePerfGlobalCtrl: 30,
      activateSecondaryControls: 31,
    },
  },
  {
    register: 'exit2',
    msr: 0x493,
    allowedOnly: true,
    section: 'A.4.2',
    bits: { saveFred: 0, loadFred: 1, loadSpecCtrl: 2, prematurelyBusyShadowStack: 3 },
  },
  {
    register: 'entry',
    msr: 0x484,
    trueMsr: 0x490,
    section: 'A.5',
    bits: {
      loadDebugControls: 2,
      ia32eModeGuest: 9,
      entryToSmm: 10,
      deactivateDualMonitor: 11,
      loadPerfGlobalCtrl: 13,
      loadPat: 14,
      loadEfer: 15,
      loadBndcfgs: 16,
      concealVmxFromPt: 17,
      loadRtitCtl: 18,
      loadUinv: 19,
      loadCetState: 20,
      loadLbrCtl: 21,
      loadPkrs: 22,
      loadFred: 23,
      loadSpecCtrl: 24,
    },
  },
];

export interface FieldTable {
  readonly register: string;
  readonly msr: number;
  readonly section: string;
  /** name: [low bit, high bit] */
  readonly fields: Readonly<Record<string, readonly [number, number]>>;
}

export const vmxFields: readonly FieldTable[] = [
  {
    register: 'featureControl',
    msr: 0x3a,
    section: 'Vol. 4, IA32_FEATURE_CONTROL',
    fields: {
      lock: [0, 0],
      vmxInSmx: [1, 1],
      vmxOutsideSmx: [2, 2],
      sgxLaunchControl: [17, 17],
      sgx: [18, 18],
      lmce: [20, 20],
    },
  },
  {
    register: 'basic',
    msr: 0x480,
    section: 'A.1',
    fields: {
      revision: [0, 30],
      vmcsBytes: [32, 44],
      addresses32Bit: [48, 48],
      dualMonitor: [49, 49],
      memoryType: [50, 53],
      insOutsInformation: [54, 54],
      trueControls: [55, 55],
      errorCodeRelaxation: [56, 56],
      nestedException: [58, 58],
    },
  },
  {
    register: 'misc',
    msr: 0x485,
    section: 'A.6',
    fields: {
      preemptionTimerRate: [0, 4],
      storeLma: [5, 5],
      activityHlt: [6, 6],
      activityShutdown: [7, 7],
      activityWaitForSipi: [8, 8],
      ptInVmx: [14, 14],
      rdmsrSmbase: [15, 15],
      cr3Targets: [16, 24],
      msrListMaximum: [25, 27],
      smmMonitorCtl2: [28, 28],
      vmwriteAnyField: [29, 29],
      zeroLengthInjection: [30, 30],
      msegRevision: [32, 63],
    },
  },
  { register: 'cr0Fixed0', msr: 0x486, section: 'A.7', fields: { mustBe1: [0, 63] } },
  { register: 'cr0Fixed1', msr: 0x487, section: 'A.7', fields: { mayBe1: [0, 63] } },
  { register: 'cr4Fixed0', msr: 0x488, section: 'A.8', fields: { mustBe1: [0, 63] } },
  { register: 'cr4Fixed1', msr: 0x489, section: 'A.8', fields: { mayBe1: [0, 63] } },
  { register: 'vmcsEnum', msr: 0x48a, section: 'A.9', fields: { highestIndex: [1, 9] } },
  {
    register: 'eptVpid',
    msr: 0x48c,
    section: 'A.10',
    fields: {
      executeOnly: [0, 0],
      pageWalk4: [6, 6],
      pageWalk5: [7, 7],
      uncacheable: [8, 8],
      writeBack: [14, 14],
      pages2M: [16, 16],
      pages1G: [17, 17],
      invept: [20, 20],
      accessedDirty: [21, 21],
      advancedExitInformation: [22, 22],
      supervisorShadowStack: [23, 23],
      inveptSingle: [25, 25],
      inveptAll: [26, 26],
      invvpid: [32, 32],
      invvpidAddress: [40, 40],
      invvpidSingle: [41, 41],
      invvpidAll: [42, 42],
      invvpidSingleRetainingGlobals: [43, 43],
      hlatPrefixSize: [48, 53],
    },
  },
  { register: 'vmfunc', msr: 0x491, section: 'A.11', fields: { eptpSwitching: [0, 0] } },
];

/** Every MSR that a probe of VMX reads, with what must hold for it to exist. */
export const vmxMsrs: readonly number[] = [
  ...new Set(
    [...vmxFields, ...vmxControls]
      .flatMap((table) => [
        'trueMsr' in table && table.trueMsr !== undefined ? [table.msr, table.trueMsr] : [table.msr],
      ])
      .flat(),
  ),
].sort((a, b) => a - b);

/** `no` must be 0; `yes` either; `forced` must be 1; `default` must be 1 by the plain MSR, may be 0 by the TRUE one. */
export type ControlSetting = 'no' | 'yes' | 'forced' | 'default';

export interface Control {
  readonly register: ControlRegister;
  readonly msr: string;
  readonly bit: number;
  readonly name: string;
  readonly setting: ControlSetting;
}
export interface Field {
  readonly register: string;
  readonly name: string;
  readonly lowBit: number;
  readonly highBit: number;
  readonly raw: string;
  readonly value: string;
}
export interface UnknownBit {
  readonly register: string;
  readonly msr: string;
  readonly bit: number;
}
export interface VmxCapabilities {
  readonly msrs: Readonly<Record<string, string>>;
  readonly controls: readonly Control[];
  readonly fields: readonly Field[];
  readonly unknownBits: readonly UnknownBit[];
}

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const bitOf = (value: bigint, bit: number): boolean => ((value >> BigInt(bit)) & 1n) === 1n;

/** Decodes the MSRs that were read; one that is absent gives no rows. */
export function decodeVmx(msrs: ReadonlyMap<number, bigint>): VmxCapabilities {
  const controls: Control[] = [];
  const unknownBits: UnknownBit[] = [];
  for (const table of vmxControls) {
    const plain = msrs.get(table.msr);
    if (plain === undefined) continue;
    const truth = table.trueMsr === undefined ? undefined : msrs.get(table.trueMsr);
    const mayBe1 = table.allowedOnly ? plain : plain >> 32n;
    const mustBe1 = table.allowedOnly ? 0n : plain & 0xffff_ffffn;
    const trueMust = truth === undefined ? mustBe1 : truth & 0xffff_ffffn;
    for (const [name, bit] of Object.entries(table.bits)) {
      const setting = !bitOf(mayBe1, bit)
        ? 'no'
        : !bitOf(mustBe1, bit)
          ? 'yes'
          : bitOf(trueMust, bit)
            ? 'forced'
            : 'default';
      controls.push({ register: table.register, msr: hex(table.msr), bit, name, setting });
    }
    const named = new Set(Object.values(table.bits));
    for (let bit = 0; bit < (table.allowedOnly ? 64 : 32); bit++) {
      // Bits that must be 1 by the plain MSR and have no name are the reserved default1 class.
      if (bitOf(mayBe1, bit) && !bitOf(mustBe1, bit) && !named.has(bit)) {
        unknownBits.push({ register: table.register, msr: hex(table.msr), bit });
      }
    }
  }
  const fields: Field[] = [];
  for (const table of vmxFields) {
    const raw = msrs.get(table.msr);
    if (raw === undefined) continue;
    let named = 0n;
    for (const [name, [lowBit, highBit]] of Object.entries(table.fields)) {
      const mask = (1n << BigInt(highBit - lowBit + 1)) - 1n;
      named |= mask << BigInt(lowBit);
      fields.push({
        register: table.register,
        name,
        lowBit,
        highBit,
        raw: hex(raw),
        value: hex((raw >> BigInt(lowBit)) & mask),
      });
    }
    for (let bit = 0; bit < 64; bit++) {
      if (bitOf(raw & ~named, bit)) unknownBits.push({ register: table.register, msr: hex(table.msr), bit });
    }
  }
  return {
    msrs: Object.fromEntries([...msrs].map(([index, value]) => [hex(index), hex(value)])),
    controls,
    fields,
    unknownBits,
  };
}
