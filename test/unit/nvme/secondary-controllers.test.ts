/** Secondary controllers as the NVM Express Base Specification lays them out, and the commands that put one online. */
import { describe, expect, it } from 'vitest';
import {
  type Admin,
  bringOnline,
  decodeSecondaryControllers,
  secondaryControllers,
} from '../../../src/nvme/secondary-controllers.ts';

/** Figure 286, byte by byte: controller 2 of primary 0, online, of VF 2, two queues and two vectors. */
const entry = [0x02, 0x00, 0x00, 0x00, 0x01, 0, 0, 0, 0x02, 0x00, 0x02, 0x00, 0x02, 0x00];

function list(count: number): Uint8Array {
  const data = new Uint8Array(4096);
  data[0] = count;
  data.set(entry, 32);
  return data;
}

describe('a list of secondary controllers', () => {
  it('tells of each its virtual function, state and resources', () => {
    expect(decodeSecondaryControllers(list(1))).toEqual([{ id: 2, online: true, vf: 2, queues: 2, vectors: 2 }]);
  });

  it('has no more entries than have room, whatever it says', () => {
    expect(decodeSecondaryControllers(list(255))).toHaveLength(127);
    expect(decodeSecondaryControllers(new Uint8Array(3))).toEqual([]);
  });

  it('is asked for by Identify with CNS 15h', () => {
    const admin: Admin = (opcode, cdw10, _, data) => {
      expect([opcode, cdw10]).toEqual([0x06, 0x15]);
      data.set(list(1));
      return 0;
    };
    expect(secondaryControllers(admin)).toHaveLength(1);
  });
});

describe('a secondary controller', () => {
  it('gets queues, then vectors, then is put online', () => {
    const commands: number[][] = [];
    bringOnline((...[opcode, cdw10, cdw11]) => commands.push([opcode, cdw10, cdw11]) * 0, 2, { queues: 2, vectors: 3 });
    expect(commands).toEqual([
      [0x1c, 0x0002_0008, 2],
      [0x1c, 0x0002_0108, 3],
      [0x1c, 0x0002_0009, 0],
    ]);
  });

  it('that is refused names the status and its meaning', () => {
    expect(() => bringOnline(() => 0x121, 2, { queues: 9, vectors: 9 })).toThrow(
      'Virtualization Management of controller 2: NVMe status 0x121, more queues or vectors than are left',
    );
  });
});
