/** Records a run: what is typed, when the guest took it, and how the guest looked on the way. */
import { NotSupportedError } from '../errors.ts';
import { type Outcome, Pc, type PcOptions } from '../machine/pc.ts';
import { digestOf, instructionsOf, outcomeText, runCourse } from './course.ts';
import {
  type Checkpoint,
  checkpointInterval,
  type RecordedInput,
  type Recording,
  recordingVersion,
} from './recording.ts';
import { Sent } from './sent.ts';

/** What a recording says of how its run was started. */
export type Start = Pick<Recording, 'image' | 'initrd' | 'cpu'> & { readonly append: string | null };

export class Recorder {
  readonly pc: Pc;
  readonly #options: PcOptions;
  readonly #typed: Uint8Array[] = [];
  readonly #inputs: RecordedInput[] = [];
  readonly #checkpoints: Checkpoint[] = [];
  readonly #sent: Sent;
  readonly #interval: bigint;
  #stopped = false;

  /** Creates the PC; load an image into it, then {@link Recorder.run}. @throws NotSupportedError but for virtual time */
  static async create(options: PcOptions, interval = checkpointInterval): Promise<Recorder> {
    const sent = new Sent();
    const onSerial = (byte: number): void => {
      sent.push(byte);
      options.onSerial(byte);
    };
    const pc = await Pc.create({ ...options, onSerial });
    if (pc.machine.clock === 'virtual') return new Recorder(pc, options, sent, interval);
    pc.machine.close();
    throw new NotSupportedError('a run in real time cannot be recorded: it would not be the same again', {
      requires: "backend: 'emulated' with clock: 'virtual'",
    });
  }

  private constructor(pc: Pc, options: PcOptions, sent: Sent, interval: bigint) {
    this.pc = pc;
    this.#options = options;
    this.#sent = sent;
    this.#interval = interval;
    pc.machine.timeline.onInput(({ instructions, tick }) => {
      const bytes = this.#typed.shift();
      if (bytes !== undefined) this.#inputs.push({ instructions, tick, bytes });
    });
  }

  /** Sends bytes to the guest's COM1. */
  type(data: Uint8Array): void {
    this.#typed.push(Uint8Array.from(data));
    this.pc.type(data);
  }

  async run(): Promise<Outcome> {
    const outcome = await runCourse(this.pc, {
      interval: this.#interval,
      stopped: () => this.#stopped,
      checkpoint: () => this.#checkpoints.push(this.#now()),
    });
    return outcome ?? { kind: 'stopped' };
  }

  /** Ends run() soon. */
  stop(): void {
    this.#stopped = true;
    this.pc.stop();
  }

  /** The recording, once run() has ended. */
  recording(start: Start, outcome: Outcome): Recording {
    const { image, initrd, cpu, append } = start;
    const { memoryBytes, cpus, debugExitPort, seed = 0n } = this.#options;
    return {
      vtkitRecording: recordingVersion,
      image,
      initrd,
      cpu,
      options: { memoryBytes, cpus: cpus ?? 1, debugExitPort: debugExitPort ?? 0xf4, append, seed },
      interval: this.#interval,
      inputs: this.#inputs,
      checkpoints: this.#checkpoints,
      end: { ...this.#now(), outcome: outcomeText(outcome) },
    };
  }

  #now(): Checkpoint {
    return { instructions: instructionsOf(this.pc), digest: digestOf(this.pc, this.#sent.bytes) };
  }
}
