/** A device that somebody takes from vfio-pci. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Another process, as an administrator's shell would be: the write waits until the device is free. */
export const unbind = (address: string): Promise<unknown> =>
  promisify(execFile)('sh', ['-c', `echo ${address} > /sys/bus/pci/drivers/vfio-pci/unbind`]);
