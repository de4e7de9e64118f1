import { describe, expect, it } from 'vitest';
import { vmdqLimit } from '../../../src/pci/vmdq-pools.ts';

describe('VMDq pools', () => {
  // Intel's data sheets: 82576 8 pools and 16 queues, I350 8 and 8, 82599 64 and 128.
  it.each([
    ['0x10c9', 8, 16],
    ['0x1521', 8, 8],
    ['0x10b6', 16, 64],
    ['0x10fb', 64, 128],
    ['0x1563', 64, 128],
  ])('of device %s are %i, with %i queues', (device, pools, queues) => {
    expect(vmdqLimit('0x8086', device, 0)).toMatchObject({ pools, queues });
  });

  it('are taken by each virtual function, and one by the port itself', () => {
    expect(vmdqLimit('0x8086', '0x10fb', 0)?.left).toBe(63);
    expect(vmdqLimit('0x8086', '0x10fb', 8)?.left).toBe(55);
    expect(vmdqLimit('0x8086', '0x10fb', 63)?.left).toBe(0);
  });

  it('have no known budget where firmware shares queues out among ports', () => {
    expect(vmdqLimit('0x8086', '0x1572', 0)).toMatchObject({ pools: 64, left: null });
  });

  it('are none of I210, of virtual functions, and of other makers', () => {
    expect(vmdqLimit('0x8086', '0x1533', 0)).toBeUndefined();
    expect(vmdqLimit('0x8086', '0x15c5', 0)).toBeUndefined();
    expect(vmdqLimit('0x15b3', '0x10fb', 0)).toBeUndefined();
  });
});
