// The DMAR table of a lab whose firmware keeps memory for a device (RMRR): QEMU's own, which never does, with one structure more.

/** VT-d 4.1, chapter 8; the values are those of QEMU's Q35 with one unit at 0xfed90000. */
const unit = Buffer.from([0, 0, 24, 0, 1, 0, 0, 0, 0, 0, 0xd9, 0xfe, 0, 0, 0, 0, 3, 8, 0, 0, 0, 0xff, 0, 0]);

/**
 * @param {{ from: bigint, last: bigint, path: [number, number][] }} region memory, and the device that keeps using it: device and
 * function of each bridge from bus 0, then its own
 */
function reservedMemory({ from, last, path }) {
  const structure = Buffer.alloc(24 + 6 + 2 * path.length);
  structure.writeUInt16LE(1, 0);
  structure.writeUInt16LE(structure.length, 2);
  structure.writeBigUInt64LE(from, 8);
  structure.writeBigUInt64LE(last, 16);
  structure.writeUInt8(1, 24); // a PCI endpoint
  structure.writeUInt8(6 + 2 * path.length, 25);
  structure.set(path.flat(), 30);
  return structure;
}

export function dmarWith(region) {
  const header = Buffer.alloc(48);
  const table = Buffer.concat([header, unit, reservedMemory(region)]);
  table.write('DMAR');
  table.writeUInt32LE(table.length, 4);
  table.writeUInt8(1, 8);
  table.write('BOCHS BXPC    ', 10);
  // Linux takes a table in the place of one with the same names and a lower revision.
  table.writeUInt32LE(2, 24);
  table.write('BXPC', 28);
  table.writeUInt32LE(1, 32);
  table.writeUInt8(38, 36); // addresses of 39 bits
  table.writeUInt8(1, 37); // interrupts are remapped
  table.writeUInt8(-table.reduce((sum, byte) => sum + byte, 0) & 0xff, 9);
  return table;
}
