/** The state in which the boot protocols of 32-bit kernels enter them: flat segments, paging and interrupts off. */
import type { Vcpu } from '../vcpu.ts';

/** @param selectors what CS and the data segments show; the protocols differ in them, and there is no GDT behind them */
export function enterProtectedMode(
  vcpu: Vcpu,
  entry: number,
  selectors: { readonly code: number; readonly data: number },
): void {
  const data = {
    ...{ base: 0n, limit: 0xffff_ffff, selector: selectors.data, type: 3 },
    ...{ present: 1, dpl: 0, db: 1, s: 1, l: 0, g: 1, unusable: 0 },
  };
  const code = { ...data, selector: selectors.code, type: 0xb };
  vcpu.setSregs({ cs: code, ds: data, es: data, fs: data, gs: data, ss: data, cr0: vcpu.getSregs().cr0 | 1n });
  vcpu.regs.rip = BigInt(entry);
  vcpu.regs.rflags = 2n;
}
