// Takes a device from its driver by hand, as no plan would, and opens it: prints which step the kernel refuses, and its errno.
// Usage: take-by-hand.mjs ADDRESS
import { existsSync, writeFileSync } from 'node:fs';
import { VfioDevice } from '../../../dist/index.js';

const [address] = process.argv.slice(2);
const device = `/sys/bus/pci/devices/${address}`;
const steps = {
  unbind: () => existsSync(`${device}/driver`) && writeFileSync(`${device}/driver/unbind`, address),
  override: () => writeFileSync(`${device}/driver_override`, 'vfio-pci'),
  drivers_probe: () => writeFileSync('/sys/bus/pci/drivers_probe', address),
  bind: () => existsSync(`${device}/driver`) || writeFileSync('/sys/bus/pci/drivers/vfio-pci/bind', address),
  open: () => VfioDevice.open(address, { by: 'group' }).close(),
};
const refused = [];
for (const [step, take] of Object.entries(steps)) {
  try {
    take();
  } catch ({ code }) {
    refused.push(`${step}: ${code}`);
  }
}
console.log(refused.join(', '));
