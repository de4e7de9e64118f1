/**
 * Fields of the VMCS by encoding (SDM Vol. 3D, appendix B): those that the emulated processor has, which are all but those
 * of features that it lacks. native/emulator/vmx/fields.h has the same names; a test holds both to each other.
 */

export const vmcsFields = {
  // B.1.1: 16-bit control fields
  virtualProcessorIdentifier: 0x0000,
  postedInterruptNotificationVector: 0x0002,
  eptpIndex: 0x0004,
  // B.1.2: 16-bit guest-state fields
  guestEsSelector: 0x0800,
  guestCsSelector: 0x0802,
  guestSsSelector: 0x0804,
  guestDsSelector: 0x0806,
  guestFsSelector: 0x0808,
  guestGsSelector: 0x080a,
  guestLdtrSelector: 0x080c,
  guestTrSelector: 0x080e,
  guestInterruptStatus: 0x0810,
  pmlIndex: 0x0812,
  // B.1.3: 16-bit host-state fields
  hostEsSelector: 0x0c00,
  hostCsSelector: 0x0c02,
  hostSsSelector: 0x0c04,
  hostDsSelector: 0x0c06,
  hostFsSelector: 0x0c08,
  hostGsSelector: 0x0c0a,
  hostTrSelector: 0x0c0c,
  // B.2.1: 64-bit control fields
  ioBitmapA: 0x2000,
  ioBitmapB: 0x2002,
  msrBitmap: 0x2004,
  exitMsrStoreAddress: 0x2006,
  exitMsrLoadAddress: 0x2008,
  entryMsrLoadAddress: 0x200a,
  executiveVmcsPointer: 0x200c,
  pmlAddress: 0x200e,
  tscOffset: 0x2010,
  virtualApicAddress: 0x2012,
  apicAccessAddress: 0x2014,
  postedInterruptDescriptorAddress: 0x2016,
  vmFunctionControls: 0x2018,
  eptPointer: 0x201a,
  eoiExitBitmap0: 0x201c,
  eoiExitBitmap1: 0x201e,
  eoiExitBitmap2: 0x2020,
  eoiExitBitmap3: 0x2022,
  eptpListAddress: 0x2024,
  vmreadBitmap: 0x2026,
  vmwriteBitmap: 0x2028,
  virtualizationExceptionAddress: 0x202a,
  xssExitingBitmap: 0x202c,
  tscMultiplier: 0x2032,
  // B.2.2: 64-bit read-only data fields
  guestPhysicalAddress: 0x2400,
  // B.2.3: 64-bit guest-state fields
  vmcsLinkPointer: 0x2800,
  guestDebugctl: 0x2802,
  guestPat: 0x2804,
  guestEfer: 0x2806,
  guestPerfGlobalCtrl: 0x2808,
  guestPdpte0: 0x280a,
  guestPdpte1: 0x280c,
  guestPdpte2: 0x280e,
  guestPdpte3: 0x2810,
  // B.2.4: 64-bit host-state fields
  hostPat: 0x2c00,
  hostEfer: 0x2c02,
  hostPerfGlobalCtrl: 0x2c04,
  // B.3.1: 32-bit control fields
  pinBasedControls: 0x4000,
  primaryControls: 0x4002,
  exceptionBitmap: 0x4004,
  pageFaultErrorCodeMask: 0x4006,
  pageFaultErrorCodeMatch: 0x4008,
  cr3TargetCount: 0x400a,
  exitControls: 0x400c,
  exitMsrStoreCount: 0x400e,
  exitMsrLoadCount: 0x4010,
  entryControls: 0x4012,
  entryMsrLoadCount: 0x4014,
  entryInterruptionInformation: 0x4016,
  entryExceptionErrorCode: 0x4018,
  entryInstructionLength: 0x401a,
  tprThreshold: 0x401c,
  secondaryControls: 0x401e,
  pleGap: 0x4020,
  pleWindow: 0x4022,
  // B.3.2: 32-bit read-only data fields
  vmInstructionError: 0x4400,
  exitReason: 0x4402,
  exitInterruptionInformation: 0x4404,
  exitInterruptionErrorCode: 0x4406,
  idtVectoringInformation: 0x4408,
  idtVectoringErrorCode: 0x440a,
  exitInstructionLength: 0x440c,
  exitInstructionInformation: 0x440e,
  // B.3.3: 32-bit guest-state fields
  guestEsLimit: 0x4800,
  guestCsLimit: 0x4802,
  guestSsLimit: 0x4804,
  guestDsLimit: 0x4806,
  guestFsLimit: 0x4808,
  guestGsLimit: 0x480a,
  guestLdtrLimit: 0x480c,
  guestTrLimit: 0x480e,
  guestGdtrLimit: 0x4810,
  guestIdtrLimit: 0x4812,
  guestEsAccessRights: 0x4814,
  guestCsAccessRights: 0x4816,
  guestSsAccessRights: 0x4818,
  guestDsAccessRights: 0x481a,
  guestFsAccessRights: 0x481c,
  guestGsAccessRights: 0x481e,
  guestLdtrAccessRights: 0x4820,
  guestTrAccessRights: 0x4822,
  guestInterruptibilityState: 0x4824,
  guestActivityState: 0x4826,
  guestSmbase: 0x4828,
  guestSysenterCs: 0x482a,
  vmxPreemptionTimerValue: 0x482e,
  // B.3.4: 32-bit host-state field
  hostSysenterCs: 0x4c00,
  // B.4.1: natural-width control fields
  cr0GuestHostMask: 0x6000,
  cr4GuestHostMask: 0x6002,
  cr0ReadShadow: 0x6004,
  cr4ReadShadow: 0x6006,
  cr3TargetValue0: 0x6008,
  cr3TargetValue1: 0x600a,
  cr3TargetValue2: 0x600c,
  cr3TargetValue3: 0x600e,
  // B.4.2: natural-width read-only data fields
  exitQualification: 0x6400,
  ioRcx: 0x6402,
  ioRsi: 0x6404,
  ioRdi: 0x6406,
  ioRip: 0x6408,
  guestLinearAddress: 0x640a,
  // B.4.3: natural-width guest-state fields
  guestCr0: 0x6800,
  guestCr3: 0x6802,
  guestCr4: 0x6804,
  guestEsBase: 0x6806,
  guestCsBase: 0x6808,
  guestSsBase: 0x680a,
  guestDsBase: 0x680c,
  guestFsBase: 0x680e,
  guestGsBase: 0x6810,
  guestLdtrBase: 0x6812,
  guestTrBase: 0x6814,
  guestGdtrBase: 0x6816,
  guestIdtrBase: 0x6818,
  guestDr7: 0x681a,
  guestRsp: 0x681c,
  guestRip: 0x681e,
  guestRflags: 0x6820,
  guestPendingDebugExceptions: 0x6822,
  guestSysenterEsp: 0x6824,
  guestSysenterEip: 0x6826,
  // B.4.4: natural-width host-state fields
  hostCr0: 0x6c00,
  hostCr3: 0x6c02,
  hostCr4: 0x6c04,
  hostFsBase: 0x6c06,
  hostGsBase: 0x6c08,
  hostTrBase: 0x6c0a,
  hostGdtrBase: 0x6c0c,
  hostIdtrBase: 0x6c0e,
  hostSysenterEsp: 0x6c10,
  hostSysenterEip: 0x6c12,
  hostRsp: 0x6c14,
  hostRip: 0x6c16,
} as const;

export type VmcsFieldName = keyof typeof vmcsFields;

export const vmcsFieldNames = Object.keys(vmcsFields) as readonly VmcsFieldName[];

/** Parts of an encoding (SDM Vol. 3C, table 25-21). */
const bitsByWidth = [16, 64, 32, 64] as const;
const areas = ['control', 'exit information', 'guest state', 'host state'] as const;

export function fieldShape(name: VmcsFieldName): {
  readonly bits: 16 | 32 | 64;
  readonly area: (typeof areas)[number];
} {
  const encoding = vmcsFields[name];
  return {
    bits: bitsByWidth[((encoding >> 13) & 3) as 0 | 1 | 2 | 3],
    area: areas[((encoding >> 10) & 3) as 0 | 1 | 2 | 3],
  };
}
