/** Functions of a dump, as the probe makes them of it. */
import { decodePci, type PciFunction } from '../../src/pci/functions.ts';
import { parseLspci } from '../../src/pci/lspci.ts';
import { dumped } from '../../src/pci/record.ts';

export function decodeLspci(text: string, file: string): PciFunction[] {
  return decodePci(parseLspci(text, file).map(({ address, bytes, faults }) => dumped(address, bytes, faults)));
}
