/** The PC's clock and its battery-backed memory (MC146818A): the time of day, and what firmware notes of the machine. */
import type { AccessHandler } from './ranges.ts';

export const rtcPorts = { from: 0x70, count: 2 } as const;

const status = { a: 0x26, b: 0x02, c: 0x00, d: 0x80 } as const; // 32768 Hz base; 24 hours, BCD; no interrupt; battery good

const bcd = (value: number): number => Math.floor(value / 10) * 16 + (value % 10);

/** Registers that follow the time, by number. */
const clock: Readonly<Record<number, (now: Date) => number>> = {
  0: (now) => bcd(now.getUTCSeconds()),
  2: (now) => bcd(now.getUTCMinutes()),
  4: (now) => bcd(now.getUTCHours()),
  6: (now) => now.getUTCDay() + 1,
  7: (now) => bcd(now.getUTCDate()),
  8: (now) => bcd(now.getUTCMonth() + 1),
  9: (now) => bcd(now.getUTCFullYear() % 100),
  50: (now) => bcd(Math.floor(now.getUTCFullYear() / 100)),
};

/** Port 0x70 chooses a register, port 0x71 reads and writes it. The time cannot be set. */
export function rtc(machine: { memoryBytes: number; cpus: number; now: () => Date }): AccessHandler {
  const kilobytes = Math.max(0, Math.min(machine.memoryBytes / 1024 - 1024, 0xffff));
  const above16M = Math.max(0, Math.min((Math.min(machine.memoryBytes, 2 ** 32) - (16 << 20)) / 65536, 0xffff));
  const registers = new Uint8Array(128);
  const words = { 21: 640, 23: kilobytes, 48: kilobytes, 52: above16M };
  for (const [at, value] of Object.entries(words)) new DataView(registers.buffer).setUint16(Number(at), value, true);
  registers[0x5f] = machine.cpus - 1;
  registers.set([status.a, status.b, status.c, status.d], 0x0a);
  let index = 0;
  return {
    write: (port, size, value) => {
      if (size !== 1) return;
      if (port === rtcPorts.from) index = Number(value) & 0x7f;
      else if (clock[index] === undefined && index !== 0x0c && index !== 0x0d) registers[index] = Number(value);
    },
    read: (port) => (port === rtcPorts.from ? 0xff : (clock[index]?.(machine.now()) ?? registers[index] ?? 0xff)),
  };
}
