/** The ways in which software resets a PC: the chipset's register, the keyboard controller. A reset ends the run. */
import { keptNumber } from './kept.ts';
import type { Space } from './options.ts';
import type { Keeper } from './state.ts';

/** Reset control (ICH and its successors, "RST_CNT"): bit 2 from 0 to 1 resets. */
const resetControl = 0xcf9;
const resetCpu = 0x04;
/** Command port of the 8042; "pulse output bit 0" pulls the processor's reset line. */
const keyboardCommand = 0x64;
const pulseReset = 0xfe;
/** System control port A (PS/2, and chipsets since): bit 0 from 0 to 1 resets, bit 1 opens address line 20. */
const systemControl = 0x92;
const fastReset = 0x01;
const addressLine20 = 0x02;

export function mapReset(ports: Space, reset: () => void): Keeper {
  let control = 0;
  ports.map(
    { from: resetControl, count: 1 },
    {
      read: () => control,
      write: (_port, _size, value) => {
        if ((Number(value) & ~control & resetCpu) !== 0) reset();
        control = Number(value) & 0x0e;
      },
    },
  );
  let system = addressLine20; // the line is always open; who closes it reads so, and no more
  ports.map(
    { from: systemControl, count: 1 },
    {
      read: () => system,
      write: (_port, _size, value) => {
        if ((Number(value) & ~system & fastReset) !== 0) reset();
        system = Number(value) & (fastReset | addressLine20);
      },
    },
  );
  ports.map(
    { from: keyboardCommand, count: 1 },
    {
      read: () => 0xff, // no controller: nothing else of it is there
      write: (_port, _size, value) => {
        if (Number(value) === pulseReset) reset();
      },
    },
  );
  return {
    save: () => ({ control, system }),
    load: (state) => {
      [control, system] = [keptNumber(state, 'control', 0x0e), keptNumber(state, 'system', 3)];
    },
  };
}
