/** The fixed ACPI hardware of the PC: its timer, and the register that turns it off (ACPI 6.5, 4.8.3). */
import type { Space } from './machine.ts';

/** Where QEMU's machines have it, and where Bochs and older firmware put it. */
export const powerManagementBases = [0x600, 0xb000] as const;

/** SLP_EN, and SLP_TYP beside it. */
const sleepEnable = 0x2000;
const sleepBits = 0x3c00;
const timerHertz = 3_579_545n;

export function mapPowerManagement(ports: Space, nanoseconds: () => bigint, powerOff: () => void): void {
  for (const base of powerManagementBases) {
    ports.map({ from: base, count: 4 }, { read: () => 0, write: () => {} }); // PM1 status and enable: no events
    ports.map(
      { from: base + 4, count: 4 },
      {
        read: () => 1, // SCI_EN: ACPI mode
        write: (_port, _size, value) => {
          if ((Number(value) & sleepBits) === sleepEnable) powerOff(); // SLP_TYP 0 is "off" in these tables
        },
      },
    );
    ports.map(
      { from: base + 8, count: 4 },
      { read: () => Number(((nanoseconds() * timerHertz) / 1_000_000_000n) & 0xffff_ffffn), write: () => {} },
    );
  }
}
