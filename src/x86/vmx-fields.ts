/** Fields of the VMX capability MSRs that are no controls (SDM Vol. 3D, appendix A). */
import type { ControlName } from './vmx-controls.ts';

export interface FieldTable {
  readonly register: string;
  readonly msr: number;
  /** The MSR exists where one of these controls may be 1; always, where none is named. */
  readonly requires?: readonly ControlName[];
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
      senterLocal: [8, 14],
      senterGlobal: [15, 15],
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
    requires: [
      ['secondary', 'enableEpt'],
      ['secondary', 'enableVpid'],
    ],
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
  {
    register: 'vmfunc',
    msr: 0x491,
    requires: [['secondary', 'enableVmFunctions']],
    section: 'A.11',
    fields: { eptpSwitching: [0, 0] },
  },
];
