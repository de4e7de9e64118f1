/** Steps of an assignment as data: each says what it changes and from what, so that it can be shown, done, checked and undone. */
import type { Sysfs } from './sysfs.ts';

export type Step =
  /** Takes a device from its driver. */
  | { readonly kind: 'unbind'; readonly address: string; readonly driver: string }
  /** Names the one driver that may take the device. */
  | { readonly kind: 'override'; readonly address: string; readonly from: string | null; readonly to: string }
  /** Lets the kernel look for a driver, which must be this one. */
  | { readonly kind: 'probe'; readonly address: string; readonly driver: string };

/** The files written, as a person would type it. */
export function describe(step: Step, sysfs: Sysfs): string {
  switch (step.kind) {
    case 'unbind':
      return `echo ${step.address} > ${sysfs.at('sys/bus/pci/drivers', step.driver, 'unbind')}`;
    case 'override':
      return `echo ${step.to} > ${sysfs.device(step.address, 'driver_override')}`;
    case 'probe':
      return `echo ${step.address} > ${sysfs.at('sys/bus/pci/drivers_probe')}`;
  }
}

export function describeUndo(step: Step, sysfs: Sysfs): string {
  switch (step.kind) {
    case 'unbind':
      return `echo ${step.address} > ${sysfs.at('sys/bus/pci/drivers', step.driver, 'bind')}`;
    case 'override':
      return `echo ${step.from ?? ''} > ${sysfs.device(step.address, 'driver_override')}`;
    case 'probe':
      return `echo ${step.address} > ${sysfs.at('sys/bus/pci/drivers', step.driver, 'unbind')}`;
  }
}

/** Does a step, and reads back what it was to change: drivers_probe reports success when it failed. */
export async function perform(step: Step, sysfs: Sysfs): Promise<void> {
  const { address } = step;
  switch (step.kind) {
    case 'unbind':
      await sysfs.write(sysfs.at('sys/bus/pci/drivers', step.driver, 'unbind'), address);
      return expectDriver(step, sysfs, null);
    case 'override':
      return sysfs.write(sysfs.device(address, 'driver_override'), step.to);
    case 'probe':
      await sysfs.write(sysfs.at('sys/bus/pci/drivers_probe'), address);
      return expectDriver(step, sysfs, step.driver);
  }
}

/** Undoes a step that was done, or begun, or not even that: what is as it was stays as it is. */
export async function revert(step: Step, sysfs: Sysfs): Promise<void> {
  const { address } = step;
  const driver = sysfs.driver(address);
  switch (step.kind) {
    case 'unbind':
      if (driver !== null) return;
      await sysfs.write(sysfs.at('sys/bus/pci/drivers', step.driver, 'bind'), address);
      return expectDriver(step, sysfs, step.driver);
    case 'override':
      // A line end alone clears it; an empty write would change nothing.
      return sysfs.write(sysfs.device(address, 'driver_override'), step.from ?? '\n');
    case 'probe':
      if (driver !== step.driver) return;
      await sysfs.write(sysfs.at('sys/bus/pci/drivers', step.driver, 'unbind'), address);
      return expectDriver(step, sysfs, null);
  }
}

export class StepError extends Error {
  override readonly name = 'StepError';
  readonly code = 'ERR_VTKIT_STEP';
  readonly step: Step;
  constructor(step: Step, message: string, options?: ErrorOptions) {
    super(message, options);
    this.step = step;
  }
}

function expectDriver(step: Step, sysfs: Sysfs, driver: string | null): void {
  const found = sysfs.driver(step.address);
  if (found === driver) return;
  throw new StepError(
    step,
    `${step.address} has ${found === null ? 'no driver' : `the driver ${found}`} and should have ${driver ?? 'none'}: the kernel log says why`,
  );
}
