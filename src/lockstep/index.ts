/** A guest image on the emulated processor and on another engine, in step. */
import type { BootOptions } from '../machine/boot/image.ts';
import { Board } from './board.ts';
import { LocalSide } from './local-side.ts';
import { type Counts, type LockstepResult, lockstep } from './lockstep.ts';
import { RemoteSide } from './remote-side.ts';

export interface LockstepImage extends BootOptions {
  readonly image: Uint8Array;
  readonly memoryBytes: number;
  /** `kvm` (unless given), `emulated`, or the command of another engine: see docs/lockstep.md. */
  readonly with?: string;
  /** Compares behind every so many instructions, too, by single steps. */
  readonly every?: number;
  /** What the guest sends on COM1. */
  readonly onSerial?: (byte: number) => void;
  readonly onProgress?: (counts: Counts) => void;
  readonly signal?: AbortSignal;
}

/**
 * Runs the image on both, and compares registers and memory at each exit; ends with the guest, or at the first
 * difference, which is then narrowed to one instruction.
 * @throws NotSupportedError or KernelError if the other engine is not there
 */
export async function lockstepImage(options: LockstepImage): Promise<LockstepResult> {
  const { image, memoryBytes, every = 0, onSerial = () => {}, onProgress, signal } = options;
  const other = options.with ?? 'kvm';
  const board = await Board.create({ memoryBytes, onSerial });
  const first = new LocalSide('emulated');
  const second = other === 'kvm' || other === 'emulated' ? new LocalSide(other) : new RemoteSide(other);
  try {
    const start = board.load(image, options, memoryBytes);
    return await lockstep({ first, second, board, start, every, onProgress, signal });
  } finally {
    await first.close();
    await second.close();
    board.close();
  }
}
