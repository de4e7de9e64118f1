/** VMX controls by name: which MSR says whether a processor has them (SDM Vol. 3D, appendix A). */

export type ControlRegister = 'pin' | 'primary' | 'secondary' | 'tertiary' | 'exit' | 'exit2' | 'entry';

export type ControlName = readonly [register: ControlRegister, name: string];

export interface ControlTable {
  readonly register: ControlRegister;
  readonly msr: number;
  /** The MSR without the default1 class, where BASIC bit 55 says that it exists. */
  readonly trueMsr?: number;
  /** 64 bits of allowed-1 settings, instead of must-be-1 and may-be-1 halves. */
  readonly allowedOnly?: true;
  /** The MSR exists where one of these controls may be 1; always, where none is named. */
  readonly requires?: readonly ControlName[];
  readonly section: string;
  readonly bits: Readonly<Record<string, number>>;
}

const tables = [
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
    requires: [['primary', 'activateSecondaryControls']],
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
      busLockDetection: 30,
      instructionTimeout: 31,
    },
  },
  {
    register: 'tertiary',
    msr: 0x492,
    requires: [['primary', 'activateTertiaryControls']],
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
    requires: [['exit', 'activateSecondaryControls']],
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
] as const satisfies readonly ControlTable[];

export const vmxControls: readonly ControlTable[] = tables;

/** The controls of one register, by name. */
export type ControlIn<R extends ControlRegister> =
  Extract<(typeof tables)[number], { register: R }> extends {
    bits: infer B;
  }
    ? keyof B & string
    : never;
