/** Where a function sits: domain, bus, device and function, in the form of sysfs (0000:3a:00.1). */

export interface PciLocation {
  readonly domain: string;
  readonly bus: number;
  readonly device: number;
  readonly function: number;
}

const form = /^(?:([0-9a-f]{1,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/i;

/** @param text with or without a domain; undefined where it is no address */
export function parseAddress(text: string): PciLocation | undefined {
  const match = form.exec(text);
  if (match === null) return undefined;
  const [, domain = '0', bus = '', device = '', fn = ''] = match;
  const number = Number.parseInt(device, 16);
  if (number > 31) return undefined;
  return {
    domain: Number.parseInt(domain, 16).toString(16).padStart(4, '0'),
    bus: Number.parseInt(bus, 16),
    device: number,
    function: Number(fn),
  };
}

export function formatAddress({ domain, bus, device, function: fn }: PciLocation): string {
  const two = (value: number): string => value.toString(16).padStart(2, '0');
  return `${domain}:${two(bus)}:${two(device)}.${fn}`;
}

/** Bus, device and function in one number, which virtual functions are counted by (PCI Express Base Specification 6, 9.2.1.2). */
export const routingId = ({ bus, device, function: fn }: PciLocation): number => (bus << 8) | (device << 3) | fn;
