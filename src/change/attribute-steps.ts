/** Steps that write attributes of a device in sysfs, the number of its virtual functions among them. */

import { StepError } from './errors.ts';
import type { Kind } from './step.ts';
import type { Sysfs } from './sysfs.ts';
import { until } from './until.ts';

export type AttributeStep =
  /** Writes an attribute that reads back as it was written. */
  | {
      readonly kind: 'attribute';
      readonly address: string;
      readonly file: string;
      readonly from: string;
      readonly to: string;
    }
  /** Creates virtual functions, or with `to: 0` removes all. */
  | { readonly kind: 'vfs'; readonly address: string; readonly from: number; readonly to: number };

type Of<K extends AttributeStep['kind']> = Kind<Extract<AttributeStep, { kind: K }>>;

export const attributeSteps: { readonly [K in AttributeStep['kind']]: Of<K> } = {
  attribute: {
    files: ({ address, file }, sysfs) => [sysfs.device(address, file)],
    describe: ({ address, file, to }, sysfs) => `echo ${to} > ${sysfs.device(address, file)}`,
    describeUndo: ({ address, file, from }, sysfs) => `echo ${from} > ${sysfs.device(address, file)}`,
    perform: async ({ address, file, to }, sysfs) => {
      await sysfs.write(sysfs.device(address, file), to);
      const found = sysfs.read(sysfs.device(address, file));
      if (found !== to) throw new StepError(`${address}: ${file} is ${found} and should be ${to}`);
    },
    revert: async ({ address, file, from }, sysfs) => {
      if (sysfs.exists(address)) await sysfs.write(sysfs.device(address, file), from);
    },
  },
  vfs: {
    files: ({ address }, sysfs) => [sysfs.device(address, numvfs)],
    describe: ({ address, to }, sysfs) => `echo ${to} > ${sysfs.device(address, numvfs)}`,
    describeUndo: ({ address, from }, sysfs) => `echo ${from} > ${sysfs.device(address, numvfs)}`,
    perform: ({ address, to }, sysfs) => setVfs(address, to, sysfs),
    revert: async ({ address, from }, sysfs) => {
      const now = sysfs.read(sysfs.device(address, numvfs));
      if (now === null || Number(now) === from) return;
      // The kernel knows no way from one number to another but through none.
      if (Number(now) !== 0) await setVfs(address, 0, sysfs);
      if (from !== 0) await setVfs(address, from, sysfs);
    },
  },
};

const numvfs = 'sriov_numvfs';

/** What errors of sriov_numvfs mean (drivers/pci/pci-sysfs.c, drivers/pci/iov.c, and drivers' sriov_configure). */
const meanings: Readonly<Record<string, string>> = {
  ERANGE: 'more than the device has: sriov_totalvfs tells how many',
  EBUSY: 'it has virtual functions already, or one of them is in use: remove them first',
  ENOENT: 'its driver creates none: bind the driver of its maker',
  EINVAL: 'the driver takes no such number',
  ENOMEM:
    'no room for their memory or bus numbers: switch SR-IOV and "above 4G decoding" on in the firmware setup, or boot with pci=realloc',
  ENOSPC: 'the device has too few MSI-X vectors for so many',
  EIO: 'the driver could not set the device up: the kernel log says why',
  EPERM: 'its driver forbids it now: the kernel log says why',
};

async function setVfs(address: string, wanted: number, sysfs: Sysfs): Promise<void> {
  try {
    await sysfs.write(sysfs.device(address, numvfs), String(wanted));
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    const hint = meanings[code];
    const message = `${address}: ${wanted} virtual functions: ${code || (cause as Error).message}`;
    throw new StepError(message, hint === undefined ? { cause } : { cause, hint });
  }
  // Links of virtual functions come a moment after the write has returned.
  await until(() => virtualFunctions(address, sysfs).length === wanted);
  const made = virtualFunctions(address, sysfs).length;
  const told = Number(sysfs.read(sysfs.device(address, numvfs)));
  if (made === wanted && told === wanted) return;
  throw new StepError(`${address} has ${Math.min(made, told)} virtual functions of ${wanted}`, {
    hint: 'the kernel log says what its driver did',
  });
}

/** Addresses by number, of those that lead back to their physical function. */
export function virtualFunctions(address: string, sysfs: Sysfs): string[] {
  const numbers = sysfs
    .list(sysfs.device(address))
    .flatMap((name) => /^virtfn(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
  return numbers.flatMap((number) => {
    const found = sysfs.link(sysfs.device(address, `virtfn${number}`));
    return found !== null && sysfs.link(sysfs.device(found, 'physfn')) === address ? [found] : [];
  });
}
