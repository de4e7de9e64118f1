/** A step that waits for somebody, as an unbind for who has the device: ended after a time, with the names of those. */
import { StepError } from './errors.ts';
import { holdersOf } from './processes.ts';
import type { Sysfs } from './sysfs.ts';

export const defaultStepMs = 30_000;

/**
 * @param does as a person would type it
 * @throws StepError when the time is over: the kernel may still do it later
 */
export async function bounded(
  work: () => Promise<void>,
  step: { readonly address: string; readonly does: string },
  sysfs: Sysfs,
  milliseconds: number,
): Promise<void> {
  // Looked up before: the kernel takes a device's own node away first, and waits for who has it open then (Linux 6.6).
  const nodes = nodesOf(step.address, sysfs);
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(stuck(step, nodes, sysfs)), milliseconds);
  });
  try {
    await Promise.race([work(), expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** Files of VFIO by which a process has a device. */
function nodesOf(address: string, sysfs: Sysfs): readonly string[] {
  const group = sysfs.group(address);
  return [
    ...(group === null ? [] : [`/dev/vfio/${group}`]),
    ...sysfs.list(sysfs.device(address, 'vfio-dev')).map((name) => `/dev/vfio/devices/${name}`),
  ];
}

function stuck(
  { address, does }: { readonly address: string; readonly does: string },
  nodes: readonly string[],
  sysfs: Sysfs,
): StepError {
  const holders = nodes.flatMap((node) => holdersOf(sysfs, node));
  const by = holders.length > 0 ? `held by ${holders.join(', ')}` : 'whoever holds it is not to be seen from here';
  return new StepError(`${does} does not end: ${address} is ${by}`, {
    hint: 'end that process: the device goes back then; vtkit vfio recover undoes what is left',
  });
}
