/** Flat real-mode images: loaded at 0x7c00 as a PC's firmware loads a boot sector, whatever their size. */
import { CorruptInputError } from '../../errors.ts';
import type { Machine } from '../machine.ts';

const loadAddress = 0x7c00;
/** Conventional memory ends here; what follows is video memory and firmware on a PC. */
const conventionalEnd = 0xa_0000;

export function loadFlat(machine: Machine, image: Uint8Array, file: string): void {
  const room = conventionalEnd - loadAddress;
  if (image.length > room) {
    throw new CorruptInputError(
      `${file} has ${image.length} bytes; a flat image may have ${room} (0x7c00 to 0xa0000)`,
      {
        file,
        offset: room,
        expected: 'a flat real-mode image, or an ELF file with a multiboot-1 header',
      },
    );
  }
  machine.memory.write(loadAddress, image);
  const vcpu = machine.vcpus[0];
  if (vcpu === undefined) return;
  const flat = { base: 0n, selector: 0, limit: 0xffff };
  vcpu.setSregs({ cs: flat, ds: flat, es: flat, ss: flat });
  vcpu.regs.rip = BigInt(loadAddress);
  vcpu.regs.rsp = BigInt(loadAddress);
  vcpu.regs.rdx = 0x80n; // the boot drive, as firmware passes it
  vcpu.regs.rflags = 2n;
}
