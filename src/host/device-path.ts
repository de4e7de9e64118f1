/** Which PCI functions a device of sysfs hangs on: its real path goes through them. */
import { realpathSync } from 'node:fs';
import { basename } from 'node:path';

const address = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

/** Of a real path, from the root bus on: bridges too, and what stands behind a controller that is a bus itself (VMD). */
export function functionsOf(path: string): string[] {
  return path.split('/').filter((part) => address.test(part));
}

/** @param link an entry of /sys/class/* */
export function realDevice(link: string): { readonly path: string; readonly functions: readonly string[] } {
  const path = realpathSync(link);
  return { path, functions: functionsOf(path) };
}

/** `nvme0n1` of `/dev/nvme0n1`, also where /proc writes a space as \040. */
export const nodeName = (path: string): string => basename(unescapeOctal(path));

export const unescapeOctal = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
