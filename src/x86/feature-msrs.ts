/** MSRs that go on where CPUID ends: what a processor suffers from, and what its counters can do (SDM Vol. 4, table 2-2). */

/** `and`: a virtue, which all must have. `or`: a weakness, which one is enough for. `same`: a layout, 0 where hosts differ. */
export type MsrRule = 'and' | 'or' | 'same';

export interface FeatureMsr {
  readonly register: string;
  readonly msr: number;
  /** The feature of CPUID without which it does not exist. */
  readonly announcedBy: string;
  readonly section: string;
  /** name: [low bit, high bit, rule] */
  readonly fields: Readonly<Record<string, readonly [lowBit: number, highBit: number, rule: MsrRule]>>;
}

const and = (bit: number) => [bit, bit, 'and'] as const;
const or = (bit: number) => [bit, bit, 'or'] as const;

export const featureMsrs: readonly FeatureMsr[] = [
  {
    register: 'archCapabilities',
    msr: 0x10a,
    announcedBy: 'arch-capabilities',
    section: 'SDM Vol. 4, IA32_ARCH_CAPABILITIES',
    fields: {
      rdclNo: and(0),
      ibrsAll: and(1),
      rsba: or(2), // returns may be predicted from elsewhere when the stack buffer is empty
      skipL1dFlushVmentry: and(3),
      ssbNo: and(4),
      mdsNo: and(5),
      ifPschangeMcNo: and(6),
      tsxCtrl: and(7),
      taaNo: and(8),
      mcuControl: and(9),
      miscPackageControls: and(10),
      energyFilteringControl: and(11),
      doitm: and(12),
      sbdrSsdpNo: and(13),
      fbsdpNo: and(14),
      psdpNo: and(15),
      mcuEnumeration: and(16),
      fbClear: and(17),
      fbClearControl: and(18),
      rrsba: or(19), // the same, as long as it is not turned off
      bhiNo: and(20),
      xapicDisableStatus: and(21),
      mcuExtendedService: and(22),
      overclockingStatus: and(23),
      pbrsbNo: and(24),
      gdsControl: and(25),
      gdsNo: and(26),
      rfdsNo: and(27),
      rfdsClear: and(28),
      ignoreUmonitor: and(29),
      monitorMitigation: and(30),
      itsNo: and(62), // hypervisors set it for their guests
    },
  },
  {
    register: 'coreCapabilities',
    msr: 0xcf,
    announcedBy: 'core-capabilities',
    section: 'SDM Vol. 4, IA32_CORE_CAPABILITIES',
    fields: {
      stlbQos: and(0),
      fusa: and(2),
      rsmInRing0Only: and(3),
      ucLockDisable: and(4),
      splitLockDisable: and(5),
      snoopFilterQos: and(6),
    },
  },
  {
    register: 'perfCapabilities',
    msr: 0x345,
    announcedBy: 'pdcm',
    section: 'SDM Vol. 4, IA32_PERF_CAPABILITIES',
    fields: {
      lbrFormat: [0, 5, 'same'],
      pebsTrap: and(6),
      pebsSavesRegisters: and(7),
      pebsFormat: [8, 11, 'same'],
      freezeInSmm: and(12),
      fullWidthWrites: and(13),
      pebsBaseline: and(14),
      metrics: and(15),
      pebsToTrace: and(16),
      pebsTiming: and(17),
    },
  },
];
