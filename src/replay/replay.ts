/** A recorded run once more: to its end, to any instruction, and back. */
import { ReplayError } from '../errors.ts';
import { type Outcome, Pc } from '../machine/pc.ts';
import type { MachineState } from '../machine/state.ts';
import { digestOf, instructionsOf, outcomeText, runCourse } from './course.ts';
import type { Checkpoint, RecordedInput, Recording } from './recording.ts';
import { Sent } from './sent.ts';

export interface ReplayOptions {
  /** Puts the image into the new PC, and whatever else the run was started with. */
  readonly prepare: (pc: Pc) => void;
  /** What the guest sends, the first time that the replay gets there. */
  readonly onSerial?: (byte: number) => void;
  /** Snapshots that are kept at most, beside the first: 16 unless given. */
  readonly snapshots?: number;
}

/** Where a replay can go back to. */
interface Mark {
  readonly instructions: bigint;
  readonly state: MachineState;
  /** Inputs taken, and bytes sent, by then. */
  readonly inputs: number;
  readonly sent: number;
}

/**
 * @example
 * const replay = await Replay.open(parseRecording(text, file), { prepare: (pc) => pc.load(image, { name }) });
 * await replay.runTo(1_000_000n);
 * await replay.stepBack(1n);
 * console.log(replay.pc.machine.vcpus[0]?.regs.rip);
 * replay.close();
 */
export class Replay {
  readonly pc: Pc;
  readonly recording: Recording;
  readonly #most: number;
  readonly #sent: Sent;
  readonly #marks: Mark[] = [];
  #spacing: bigint;
  #inputs = 0;
  #stopped = false;
  #departed: ReplayError | undefined;

  static async open(recording: Recording, options: ReplayOptions): Promise<Replay> {
    const { memoryBytes, cpus, debugExitPort, seed } = recording.options;
    const sent = new Sent();
    let shown = 0;
    const pc = await Pc.create({
      backend: 'emulated',
      clock: 'virtual',
      memoryBytes,
      cpus,
      debugExitPort,
      seed,
      onSerial: (byte) => {
        sent.push(byte);
        if (sent.length <= shown) return;
        shown = sent.length;
        options.onSerial?.(byte);
      },
    });
    try {
      options.prepare(pc);
      return new Replay(pc, recording, sent, options.snapshots ?? 16);
    } catch (error) {
      pc.machine.close();
      throw error;
    }
  }

  private constructor(pc: Pc, recording: Recording, sent: Sent, most: number) {
    this.pc = pc;
    this.recording = recording;
    this.#sent = sent;
    this.#most = most;
    this.#spacing = recording.interval;
    pc.machine.timeline.onInput(({ instructions, tick }) => this.#taken(instructions, tick));
    this.#schedule();
    this.#mark();
  }

  /** Instructions retired by all processors. */
  get position(): bigint {
    return instructionsOf(this.pc);
  }

  /**
   * Goes to where so many instructions are retired, back or forth. Gives an outcome if the guest ends before, or
   * somebody stopped it; else undefined.
   * @throws ReplayError where the run is not the recorded one any more
   */
  runTo(instructions: bigint): Promise<Outcome | undefined> {
    if (instructions < 0n) throw new RangeError('a run begins at instruction 0');
    const mark = this.#marks.findLast((each) => each.instructions <= instructions);
    // A mark that lies ahead saves the way there as well.
    if (mark !== undefined && (instructions < this.position || mark.instructions > this.position)) this.#return(mark);
    return this.#run(instructions);
  }

  /** Goes back by so many instructions, at most to the begin. */
  stepBack(instructions = 1n): Promise<Outcome | undefined> {
    const to = this.position - instructions;
    return this.runTo(to < 0n ? 0n : to);
  }

  /** Goes on to where the recording ends. @throws ReplayError where the run is not the recorded one any more */
  async runToEnd(): Promise<Outcome> {
    const { end } = this.recording;
    const stops = end.outcome === 'stopped';
    const outcome = (await this.#run(stops ? end.instructions : end.instructions + 1n)) ?? { kind: 'stopped' };
    if (this.#stopped) return outcome;
    this.#compare(end, outcomeText(outcome), end.outcome);
    return outcome;
  }

  /** Ends what runs soon. */
  stop(): void {
    this.#stopped = true;
    this.pc.stop();
  }

  close(): void {
    this.pc.machine.close();
  }

  async #run(until: bigint): Promise<Outcome | undefined> {
    this.#stopped = false;
    const outcome = await runCourse(this.pc, {
      interval: this.recording.interval,
      until,
      stopped: () => this.#stopped || this.#departed !== undefined,
      checkpoint: (instructions) => this.#checkpoint(instructions),
    });
    if (this.#departed !== undefined) throw this.#departed;
    return outcome;
  }

  #checkpoint(instructions: bigint): void {
    const recorded = this.recording.checkpoints[Number(instructions / this.recording.interval) - 1];
    if (recorded !== undefined) this.#compare(recorded, '', '');
    const last = this.#marks.at(-1)?.instructions ?? 0n;
    if (instructions >= last + this.#spacing) this.#mark();
  }

  #compare(recorded: Checkpoint, outcome: string, recordedOutcome: string): void {
    const here = this.position;
    if (recorded.instructions !== here) {
      throw new ReplayError(
        `the replay departs from its recording: ${outcome || 'a checkpoint'} at instruction ${here}, recorded was ` +
          `${recordedOutcome || 'a checkpoint'} at ${recorded.instructions}`,
        here,
      );
    }
    if (outcome === recordedOutcome && digestOf(this.pc, this.#sent.bytes) === recorded.digest) return;
    const before = this.recording.checkpoints.findLast(({ instructions }) => instructions < here)?.instructions ?? 0n;
    const what =
      outcome === recordedOutcome ? 'registers, time or output differ' : `${outcome}, recorded was ${recordedOutcome}`;
    throw new ReplayError(
      `the replay departs from its recording between instructions ${before} and ${here}: ${what}`,
      here,
    );
  }

  #taken(instructions: bigint, tick: bigint): void {
    const recorded = this.recording.inputs[this.#inputs++];
    if (recorded?.instructions === instructions && recorded.tick === tick) return;
    this.#departed ??= new ReplayError(
      `the replay departs from its recording before instruction ${instructions}: input ${this.#inputs} is taken at ` +
        `${tick} ns, recorded was instruction ${recorded?.instructions} at ${recorded?.tick} ns`,
      instructions,
    );
    this.pc.stop();
  }

  #schedule(): void {
    const { timeline } = this.pc.machine;
    timeline.clearInput();
    for (const { tick, bytes } of this.recording.inputs.slice(this.#inputs) as RecordedInput[]) {
      timeline.scheduleInput(tick, Pc.serialPort, bytes);
    }
  }

  #mark(): void {
    const state = this.pc.machine.snapshot();
    this.#marks.push({ instructions: this.position, state, inputs: this.#inputs, sent: this.#sent.length });
    if (this.#marks.length <= this.#most + 1) return;
    // Every second one goes; those to come are as far apart as those that are left.
    this.#spacing *= 2n;
    for (let i = this.#marks.length - 2; i > 0; i -= 2) this.#marks.splice(i, 1);
  }

  #return({ state, inputs, sent }: Mark): void {
    this.pc.machine.restore(state);
    this.#inputs = inputs;
    this.#sent.cut(sent);
    this.#departed = undefined;
    this.#schedule();
  }
}
