/** Faults of the remapping unit in kernel logs of several ages. */
import { describe, expect, it } from 'vitest';
import { readRemappingFaults } from '../../../src/vfio/faults.ts';

/** Lines of Linux 6.1 in the lab; of 5.4 and of interrupt remapping from drivers/iommu/intel/dmar.c of those releases. */
const log = [
  '[   12.3] DMAR: DRHD: handling fault status reg 2',
  '[   12.3] DMAR: [DMA Write NO_PASID] Request device [01:00.1] fault addr 0x800100000 [fault reason 0x05] PTE Write access is not set',
  '[   13.0] DMAR: [DMA Read] Request device [02:00.0] PASID ffffffff fault addr 7ffff000 [fault reason 06] PTE Read access is not set',
  '[   14.0] DMAR: [DMA Read PASID 0x7] Request device [6a:01.0] fault addr 0x1000 [fault reason 0x58] SM: Present bit in first-level paging entry is clear',
  '[   15.0] DMAR: [INTR-REMAP] Request device [f0:1f.0] fault index 0x21 [fault reason 0x26] Blocked an interrupt request due to source-id verification failure',
].join('\n');

describe('a fault of the remapping unit', () => {
  it('names requester, address and reason', () => {
    expect(readRemappingFaults(log)[0]).toEqual({
      line: 2,
      kind: 'write',
      requester: '01:00.1',
      address: 0x8_0010_0000n,
      pasid: null,
      reason: 5,
      says: 'nothing is mapped there that it may write',
    });
  });

  it('is read in the form of older kernels too', () => {
    expect(readRemappingFaults(log)[1]).toMatchObject({
      kind: 'read',
      requester: '02:00.0',
      address: 0x7fff_f000n,
      pasid: null,
      reason: 6,
    });
  });

  it('has the address space that it named, and the words of the kernel where the number has none', () => {
    expect(readRemappingFaults(log)[2]).toMatchObject({
      pasid: 7,
      says: 'SM: Present bit in first-level paging entry is clear',
    });
  });

  it('may be of an interrupt', () => {
    expect(readRemappingFaults(log)[3]).toMatchObject({ kind: 'interrupt', requester: 'f0:1f.0', address: 0x21n });
  });

  it('is none in lines that only speak of them', () => {
    expect(readRemappingFaults(log)).toHaveLength(4);
  });
});
