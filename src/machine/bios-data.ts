/** What a PC's firmware leaves below 1 MiB for kernels that still look there: vectors, ports, equipment, memory. */

export interface Piece {
  readonly address: number;
  readonly bytes: Uint8Array;
}

const conventionalKilobytes = 640;

/** Where the handlers lie, in segment F000H. */
const handlers = { segment: 0xf000, offset: 0xff53 } as const;

// IRET, as for every service that is not there; interrupts of the two controllers are ended before.
const nothing = [0xcf];
const endOfMaster = [0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf]; // push ax; mov al, 20h; out 20h, al; pop ax; iret
const endOfBoth = [0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf];

/** The interrupt vectors of real mode, none of which does anything, and their handlers. */
function vectors(): Piece[] {
  const table = new DataView(new ArrayBuffer(0x400));
  const [onMaster, onSlave] = [handlers.offset + nothing.length, handlers.offset + nothing.length + endOfMaster.length];
  for (let vector = 0; vector < 256; vector++) {
    const line = vector >= 0x08 && vector < 0x10 ? onMaster : vector >= 0x70 && vector < 0x78 ? onSlave : undefined;
    table.setUint16(vector * 4, line ?? handlers.offset, true);
    table.setUint16(vector * 4 + 2, handlers.segment, true);
  }
  const code = Uint8Array.from([...nothing, ...endOfMaster, ...endOfBoth]);
  return [
    { address: 0, bytes: new Uint8Array(table.buffer) },
    { address: handlers.segment * 16 + handlers.offset, bytes: code },
  ];
}

/** The BIOS data area of a PC with one serial port and no extended area (IBM PC AT Technical Reference, 5). */
function dataArea(machine: { readonly memoryBytes: number; readonly serialPort: number }): Piece {
  const area = new DataView(new ArrayBuffer(0x15));
  area.setUint16(0x00, machine.serialPort, true);
  area.setUint16(0x10, 0x0202, true); // a coprocessor, one serial port
  area.setUint16(0x13, Math.min(conventionalKilobytes, machine.memoryBytes / 1024), true);
  return { address: 0x400, bytes: new Uint8Array(area.buffer) };
}

export function biosData(machine: { readonly memoryBytes: number; readonly serialPort: number }): readonly Piece[] {
  return [...vectors(), dataArea(machine)];
}
