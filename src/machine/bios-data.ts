/** The BIOS data area, as far as kernels read it before they have a memory map: ports, equipment, conventional memory. */

export const biosDataAddress = 0x400;

const conventionalKilobytes = 640;

/** What firmware leaves of a PC with one serial port and no extended area (IBM PC AT Technical Reference, 5). */
export function biosData(machine: { readonly memoryBytes: number; readonly serialPort: number }): Uint8Array {
  const area = new DataView(new ArrayBuffer(0x15));
  area.setUint16(0x00, machine.serialPort, true);
  area.setUint16(0x10, 0x0202, true); // a coprocessor, one serial port
  area.setUint16(0x13, Math.min(conventionalKilobytes, machine.memoryBytes / 1024), true);
  return new Uint8Array(area.buffer);
}
