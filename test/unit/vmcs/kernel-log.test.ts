import { describe, expect, it } from 'vitest';
import { guestChecks } from '../../../src/vmcs/guest-checks.ts';
import { readKernelLog } from '../../../src/vmcs/kernel-log.ts';
import { mutated, randomOf } from '../../fuzz/mutations.ts';

/** What Linux 6.1 printed of a real-mode guest without EPT, between other lines of its log. */
const linux61 = `[    0.640857] VMCS 00000000c15b5714, last attempted VM-entry on CPU 0
[    0.640868] *** Guest State ***
[    0.640874] CR0: actual=0x0000000080010031, shadow=0x0000000060000010, gh_mask=fffffffffffffff7
[    0.640888] CR4: actual=0x0000000000002061, shadow=0x0000000000000000, gh_mask=fffffffffffef8f1
[    0.640903] CR3 = 0x000000001c773000
[    0.640909] PDPTR0 = 0x0000000000000000  PDPTR1 = 0x0000000000000000
[    0.640931] RSP = 0x0000000000000000  RIP = 0x0000000000001000
[    0.640941] RFLAGS=0x00023002         DR7 = 0x0000000000000400
[    0.640951] Sysenter RSP=0000000000000000 CS:RIP=0000:0000000000000000
[    0.640962] CS:   sel=0x0000, attr=0x000f3, limit=0x0000ffff, base=0x0000000000000000
[    0.641056] LDTR: sel=0x0000, attr=0x00082, limit=0x0000ffff, base=0x0000000000000000
[    0.641043] GDTR:                           limit=0x0000ffff, base=0x0000000000000000
[    0.641096] EFER= 0x0000000000000800
[    0.641102] PAT = 0x0007040600070406
[    0.641109] DebugCtl = 0x0000000000000000  DebugExceptions = 0x0000000000000000
[    0.641121] Interruptibility = 00000000  ActivityState = 00000000
[    0.641132] *** Host State ***
[    0.641137] RIP = 0xffffffffc05b744e  RSP = 0xff4835da805879b0
[    0.641147] CS=0010 SS=0018 DS=0000 ES=0000 FS=0000 GS=0000 TR=0040
[    0.641182] CR0=0000000080050033 CR3=00000000024fe005 CR4=0000000000773ef0
[    0.641205] EFER= 0x0000000000000d01
[    0.641218] *** Control State ***
[    0.641224] CPUBased=0xb599effa SecondaryExec=0x02012c60 TertiaryExec=0x0000000000000000
[    0.641238] PinBased=0x0000003f EntryControls=0000d1ff ExitControls=002befff
[    0.641250] ExceptionBitmap=ffffffff PFECmask=00000000 PFECmatch=00000000
[    0.641261] VMEntry: intr_info=00000000 errcode=00000000 ilen=00000000
[    0.641284]         reason=80000021 qualification=0000000000000000
[    0.641327] Virtual processor ID = 0x0001
`;
/** The form of Linux 4.x, out of a journal. */
const linux4 = `Nov 24 08:00:00 host kernel: *** Guest State ***
Nov 24 08:00:00 host kernel: CR0: actual=0x0000000080050033, shadow=0x0000000080050033, gh_mask=fffffffffffffff7
Nov 24 08:00:00 host kernel: EFER =     0x0000000000000d01  PAT = 0x0407050600070106
Nov 24 08:00:00 host kernel: *** Host State ***
Nov 24 08:00:00 host kernel: EFER = 0x0000000000000d01  PAT = 0x0407050600070106
Nov 24 08:00:00 host kernel: *** Control State ***
Nov 24 08:00:00 host kernel: PinBased=0000003f CPUBased=b6a06dfa SecondaryExec=000004eb
Nov 24 08:00:00 host kernel: EntryControls=0000d3ff ExitControls=002fefff
Nov 24 08:00:00 host kernel: TPR Threshold = 0x00
Nov 24 08:00:00 host kernel: EPT pointer = 0x0000000123456 01e
`;

describe('the VMCS dumps of a kernel log', () => {
  it('are read with the fields of guest, host and controls', () => {
    const [dump, ...others] = readKernelLog(linux61, 'log');
    expect(others).toEqual([]);
    expect(dump?.line).toBe(2);
    expect(Object.fromEntries(dump?.fields ?? [])).toMatchObject({
      guestCr0: 0x8001_0031n,
      cr0ReadShadow: 0x6000_0010n,
      cr4GuestHostMask: 0xffff_ffff_fffe_f8f1n,
      guestRflags: 0x23002n,
      guestDr7: 0x400n,
      guestCsAccessRights: 0xf3n,
      guestLdtrAccessRights: 0x82n,
      guestGdtrLimit: 0xffffn,
      guestEfer: 0x800n,
      guestInterruptibilityState: 0n,
      hostTrSelector: 0x40n,
      hostCr4: 0x77_3ef0n,
      hostEfer: 0xd01n,
      primaryControls: 0xb599_effan,
      secondaryControls: 0x0201_2c60n,
      entryControls: 0xd1ffn,
      exitReason: 0x8000_0021n,
      virtualProcessorIdentifier: 1n,
    });
    expect(dump?.fields.get('guestTrSelector')).toBeUndefined();
  });

  it('are read in the older form, with what a journal puts before each line', () => {
    const [dump] = readKernelLog(linux4, 'log');
    expect(Object.fromEntries(dump?.fields ?? [])).toMatchObject({
      guestEfer: 0xd01n,
      guestPat: 0x0407_0506_0007_0106n,
      hostPat: 0x0407_0506_0007_0106n,
      pinBasedControls: 0x3fn,
      primaryControls: 0xb6a0_6dfan,
      secondaryControls: 0x4ebn,
      exitControls: 0x2f_efffn,
      tprThreshold: 0n,
    });
  });

  it('may be several', () => {
    expect(readKernelLog(linux61 + linux4, 'log').map(({ line }) => line)).toEqual([2, 29]);
  });

  it('may be none, which is said', () => {
    expect(() => readKernelLog('kvm: nothing to see\n', 'log')).toThrow(/log has no VMCS dump.*Guest State/);
  });

  it('may be anything: it is read, or refused', () => {
    const random = randomOf(7);
    for (let i = 0; i < 500; i++) {
      const text = mutated(Buffer.from(linux61), random).toString('latin1');
      try {
        readKernelLog(text, 'log');
      } catch (error) {
        expect((error as Error).name).toBe('CorruptInputError');
      }
    }
  });
});

it('has checks of one name each', () => {
  expect(new Set(guestChecks.map(({ id }) => id)).size).toBe(guestChecks.length);
});
