/** A trace of instructions as text: count, address, bytes, and what they say. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { type Disassembler, loadDisassembler } from '../machine/disassembler.ts';
import type { ExecutedInstruction, Timeline } from '../machine/timeline.ts';

/** Lines that are written at once. */
const batch = 512;
/** Texts that are kept: a loop's are needed again. */
const mostTexts = 1 << 16;

export interface LogLimit {
  /** Lines; what comes behind them runs without a trace. */
  readonly most: number;
  /** Called once, behind the last. */
  readonly full?: () => void;
}

export class InstructionLog {
  readonly #file: number;
  readonly #owned: boolean;
  readonly #limit: LogLimit;
  readonly #several: boolean;
  readonly #disassembler: Disassembler;
  readonly #timeline: Timeline;
  readonly #texts = new Map<string, string>();
  #lines: string[] = [];
  #written = 0;

  /**
   * Traces all that a machine executes from now on.
   * @param path of the file; `-` is standard output
   */
  static async open(path: string, machine: { timeline: Timeline; vcpus: readonly unknown[] }, limit: LogLimit) {
    const disassembler = await loadDisassembler();
    return new InstructionLog(path, machine.timeline, machine.vcpus.length > 1, limit, disassembler);
  }

  private constructor(path: string, timeline: Timeline, several: boolean, limit: LogLimit, disassembler: Disassembler) {
    this.#owned = path !== '-';
    this.#file = this.#owned ? openSync(path, 'w') : 1;
    this.#limit = limit;
    this.#several = several;
    this.#disassembler = disassembler;
    this.#timeline = timeline;
    timeline.traceInstructions((instruction) => this.#add(instruction));
  }

  /** Lines so far. */
  get lines(): number {
    return this.#written + this.#lines.length;
  }
  get full(): boolean {
    return this.lines >= this.#limit.most;
  }

  close(): void {
    this.#flush();
    if (this.#owned) closeSync(this.#file);
  }

  #add(instruction: ExecutedInstruction): void {
    if (this.full) return;
    const { count, cpu, rip } = instruction;
    const at = `${String(count).padStart(10)} ${this.#several ? `${cpu} ` : ''}${rip.toString(16).padStart(16, '0')}`;
    this.#lines.push(`${at}  ${this.#text(instruction)}\n`);
    if (this.#lines.length >= batch || this.full) this.#flush();
    if (!this.full) return;
    this.#timeline.traceInstructions(undefined);
    this.#limit.full?.();
  }

  #text({ bytes, rip, bits }: ExecutedInstruction): string {
    const dump = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
    const key = `${rip.toString(16)} ${bits} ${dump}`;
    let text = this.#texts.get(key);
    if (text === undefined) {
      text = `${dump.padEnd(30)}  ${this.#disassembler(bytes, rip, bits)?.text ?? '(unknown)'}`;
      if (this.#texts.size >= mostTexts) this.#texts.clear();
      this.#texts.set(key, text);
    }
    return text;
  }

  #flush(): void {
    const bytes = Buffer.from(this.#lines.join(''));
    this.#written += this.#lines.length;
    this.#lines = [];
    for (let at = 0; at < bytes.length; ) at += this.#write(bytes.subarray(at));
  }

  /** A pipe that is full makes the guest wait for its reader. */
  #write(bytes: Buffer): number {
    try {
      return writeSync(this.#file, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      return 0;
    }
  }
}
