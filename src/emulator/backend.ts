/** Machines over vtkit's own processor. */
import { NotSupportedError } from '../errors.ts';
import type { EngineMachine, EngineOptions } from '../machine/engine.ts';
import { loadAddon } from '../native/load.ts';
import { enter } from './enter.ts';

/** @throws NotSupportedError for what this processor does not have yet */
export function open(options: EngineOptions, onWake: () => void): EngineMachine {
  if (options.irqchip === 'kernel') {
    throw new NotSupportedError('the emulated backend has no interrupt controller of the kernel', {
      requires: "irqchip: 'pic' or 'none', or backend: 'kvm'",
    });
  }
  const addon = loadAddon();
  const { translations, seed = 0n } = options;
  const native = new addon.Machine({ engine: 'emulated', staleTranslations: translations === 'stale', seed }, onWake);
  return { kind: 'emulated', native, layout: addon.layout, countsInstructions: true, enter };
}
