/** Steps that take a device from one driver and lead it to another. */
import { StepError } from './errors.ts';
import type { Kind } from './step.ts';
import type { Sysfs } from './sysfs.ts';

export type DriverStep =
  /** Takes a device from its driver. */
  | { readonly kind: 'unbind'; readonly address: string; readonly driver: string }
  /** Names the one driver that may take the device; null lets any that matches. */
  | { readonly kind: 'override'; readonly address: string; readonly from: string | null; readonly to: string | null }
  /** Lets the kernel look for a driver, which must be this one. */
  | { readonly kind: 'probe'; readonly address: string; readonly driver: string };

type Of<K extends DriverStep['kind']> = Kind<Extract<DriverStep, { kind: K }>>;

const ofDriver = (sysfs: Sysfs, driver: string, file: string): string => sysfs.at('sys/bus/pci/drivers', driver, file);
const echo = (text: string, path: string): string => `echo ${text} > ${path}`;

/** Undoing leaves as it is what was never done, and what has gone. */
export const driverSteps: { readonly [K in DriverStep['kind']]: Of<K> } = {
  unbind: {
    files: ({ driver }, sysfs) => [ofDriver(sysfs, driver, 'unbind')],
    describe: ({ address, driver }, sysfs) => echo(address, ofDriver(sysfs, driver, 'unbind')),
    describeUndo: ({ address, driver }, sysfs) => echo(address, ofDriver(sysfs, driver, 'bind')),
    perform: async (step, sysfs) => {
      await sysfs.write(ofDriver(sysfs, step.driver, 'unbind'), step.address);
      expectDriver(step, sysfs, null);
    },
    revert: async (step, sysfs) => {
      if (!sysfs.exists(step.address) || sysfs.driver(step.address) !== null) return;
      await sysfs.write(ofDriver(sysfs, step.driver, 'bind'), step.address);
      expectDriver(step, sysfs, step.driver);
    },
  },
  override: {
    files: ({ address }, sysfs) => [sysfs.device(address, 'driver_override')],
    describe: ({ address, to }, sysfs) => echo(to ?? '', sysfs.device(address, 'driver_override')),
    describeUndo: ({ address, from }, sysfs) => echo(from ?? '', sysfs.device(address, 'driver_override')),
    perform: ({ address, to }, sysfs) => writeOverride(address, to, sysfs),
    revert: async ({ address, from }, sysfs) => {
      if (sysfs.exists(address)) await writeOverride(address, from, sysfs);
    },
  },
  probe: {
    files: (_, sysfs) => [sysfs.at('sys/bus/pci/drivers_probe')],
    describe: ({ address }, sysfs) => echo(address, sysfs.at('sys/bus/pci/drivers_probe')),
    describeUndo: ({ address, driver }, sysfs) => echo(address, ofDriver(sysfs, driver, 'unbind')),
    perform: async (step, sysfs) => {
      await sysfs.write(sysfs.at('sys/bus/pci/drivers_probe'), step.address);
      expectDriver(step, sysfs, step.driver);
    },
    revert: async (step, sysfs) => {
      if (sysfs.driver(step.address) !== step.driver) return;
      await sysfs.write(ofDriver(sysfs, step.driver, 'unbind'), step.address);
      expectDriver(step, sysfs, null);
    },
  },
};

/** A line end alone clears it; an empty write would change nothing. */
const writeOverride = (address: string, driver: string | null, sysfs: Sysfs): Promise<void> =>
  sysfs.write(sysfs.device(address, 'driver_override'), driver ?? '\n');

/** drivers_probe reports success when it failed: the link alone tells. */
function expectDriver(step: DriverStep, sysfs: Sysfs, driver: string | null): void {
  const found = sysfs.driver(step.address);
  if (found === driver) return;
  throw new StepError(
    `${step.address} has ${found === null ? 'no driver' : `the driver ${found}`} and should have ${driver ?? 'none'}: the kernel log says why`,
  );
}
