/** What the battery of a PC keeps (MC146818A): how its clock is set, and what firmware notes of the machine. */

/** 32,768 Hz base and the usual rate; 24 hours, BCD, no interrupt. */
const status = { a: 0x26, b: 0x02 } as const;

/** The 128 bytes behind ports 0x70 and 0x71. The time in them is the device's own (native/devices/rtc.h). */
export function cmos(machine: {
  readonly memoryBytes: number;
  readonly lowBytes: number;
  readonly cpus: number;
}): Uint8Array {
  const kilobytes = Math.max(0, Math.min(machine.lowBytes / 1024 - 1024, 0xffff));
  const above16M = Math.max(0, Math.min((machine.lowBytes - (16 << 20)) / 65536, 0xffff));
  const bytes = new Uint8Array(128);
  const words = { 21: 640, 23: kilobytes, 48: kilobytes, 52: above16M };
  for (const [at, value] of Object.entries(words)) new DataView(bytes.buffer).setUint16(Number(at), value, true);
  const above4G = (machine.memoryBytes - machine.lowBytes) / 65536;
  for (const [i, at] of [0x5b, 0x5c, 0x5d].entries()) bytes[at] = Math.floor(above4G / 256 ** i);
  bytes[0x5f] = machine.cpus - 1;
  bytes.set([status.a, status.b], 0x0a);
  return bytes;
}
