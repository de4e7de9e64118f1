/** Puts the two engines behind Machine.create; loaded when the library is, each engine when it is first used. */
import { registerBackend } from './machine/backends.ts';

registerBackend({
  kind: 'kvm',
  description: 'the kernel runs the guest through /dev/kvm',
  open: async (options, onWake) => (await import('./kvm/backend.ts')).open(options, onWake),
});

registerBackend({
  kind: 'emulated',
  description: "vtkit's own processor runs the guest",
  open: async (options, onWake) => (await import('./emulator/backend.ts')).open(options, onWake),
});
