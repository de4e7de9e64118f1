/** Recordings and replays of small guests, by the library and by `vtkit run`. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import '../../src/backends.ts';
import { CorruptInputError, NotSupportedError, ReplayError } from '../../src/errors.ts';
import { Recorder } from '../../src/replay/recorder.ts';
import { encodeRecording, parseRecording, type Recording, sha256 } from '../../src/replay/recording.ts';
import { Replay } from '../../src/replay/replay.ts';

const folder = mkdtempSync(join(tmpdir(), 'vtkit-replay-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/**
 * A boot sector that echoes what COM1 receives, each byte with bit 0 of the time stamp counter's middle in it, and halts
 * for good behind a 'q': what it sends depends on when it got what.
 */
const echo = Uint8Array.from([
  ...[0xba, 0xfd, 0x03], // mov dx, 0x3fd
  ...[0xec], // in al, dx
  ...[0xa8, 0x01], // test al, 1
  ...[0x74, 0xfb], // jz to the IN
  ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
  ...[0xec], // in al, dx
  ...[0x88, 0xc3], // mov bl, al
  ...[0xee], // out dx, al
  ...[0x0f, 0x31], // rdtsc
  ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
  ...[0xee], // out dx, al: the time
  ...[0x80, 0xfb, 0x71], // cmp bl, 'q'
  ...[0x75, 0xe6], // jnz to the begin
  ...[0xfa, 0xf4], // cli; hlt
]);

/** A boot sector that sends eight bytes of RDRAND to COM1. */
const random = Uint8Array.from([
  ...[0xb9, 0x08, 0x00], // mov cx, 8
  ...[0xba, 0xf8, 0x03], // mov dx, 0x3f8
  ...[0x0f, 0xc7, 0xf0], // rdrand ax
  ...[0xee], // out dx, al
  ...[0xe2, 0xfa], // loop to the RDRAND
  ...[0xfa, 0xf4], // cli; hlt
]);

const options = { backend: 'emulated', memoryBytes: 1 << 20 } as const;
const start = { image: { name: 'echo', sha256: sha256(echo) }, initrd: null, cpu: null, append: null };
const interval = 1000n;

async function record(): Promise<{ recording: Recording; sent: string }> {
  const sent: number[] = [];
  const recorder = await Recorder.create(
    {
      ...options,
      onSerial: (byte) => {
        sent.push(byte);
        if (sent.length === 2) setImmediate(() => recorder.type(Buffer.from('q')));
      },
    },
    interval,
  );
  try {
    recorder.pc.load(echo, { name: 'echo' });
    setTimeout(() => recorder.type(Buffer.from('a')), 20);
    const outcome = await recorder.run();
    return { recording: recorder.recording(start, outcome), sent: Buffer.from(sent).toString('hex') };
  } finally {
    recorder.pc.machine.close();
  }
}

function open(recording: Recording, onSerial: (byte: number) => void = () => {}): Promise<Replay> {
  return Replay.open(recording, { prepare: (pc) => pc.load(echo, { name: 'echo' }), onSerial, snapshots: 4 });
}

describe('a recording', () => {
  it('gives the run again, with what was typed at the same instruction', async () => {
    const { recording, sent } = await record();
    expect(recording.inputs.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['a', 'q']);
    expect(recording.end.outcome).toBe('halted');
    const again: number[] = [];
    const replay = await open(parseRecording(encodeRecording(recording), 'memory'), (byte) => again.push(byte));
    expect(await replay.runToEnd()).toEqual({ kind: 'halted' });
    expect(Buffer.from(again).toString('hex')).toBe(sent);
    expect(replay.position).toBe(recording.end.instructions);
    replay.close();
  });

  it('keeps the seed that its random numbers follow from', async () => {
    const runs: { sent: string; recording: Recording }[] = [];
    for (const seed of [0n, 5n, 5n, 6n]) {
      const sent: number[] = [];
      const recorder = await Recorder.create({ ...options, seed, onSerial: (byte) => sent.push(byte) }, interval);
      recorder.pc.load(random, { name: 'random' });
      const recording = recorder.recording(start, await recorder.run());
      recorder.pc.machine.close();
      runs.push({ sent: Buffer.from(sent).toString('hex'), recording });
    }
    const [none, five, again, six] = runs.map(({ sent }) => sent);
    expect(five).toMatch(/^[0-9a-f]{16}$/);
    expect(again).toBe(five);
    expect(new Set([none, five, six]).size).toBe(3);
    const text = encodeRecording((runs[1] as { recording: Recording }).recording);
    const sent: number[] = [];
    const replay = await Replay.open(parseRecording(text, 'memory'), {
      prepare: (pc) => pc.load(random, { name: 'random' }),
      onSerial: (byte) => sent.push(byte),
    });
    await replay.runToEnd();
    replay.close();
    expect(Buffer.from(sent).toString('hex')).toBe(five);
  });

  it('tells where a replay departs from it', async () => {
    const { recording } = await record();
    const [first, second] = recording.inputs;
    const moved = [first, { ...second, tick: (second?.tick ?? 0n) + 5_000_000n }] as Recording['inputs'];
    const late = await open({ ...recording, inputs: moved });
    await expect(late.runToEnd()).rejects.toThrow(ReplayError);
    late.close();
    const typed = [first, { ...second, bytes: Buffer.from('x') }] as Recording['inputs'];
    const other = await open({ ...recording, inputs: typed });
    await expect(other.runToEnd()).rejects.toThrow(/departs from its recording/);
    other.close();
  });

  it('cannot be made in real time, nor on KVM', async () => {
    await expect(Recorder.create({ ...options, clock: 'real', onSerial: () => {} })).rejects.toThrow(NotSupportedError);
  });

  it.each([
    ['{', /whole JSON document/],
    ['{"vtkitRecording": 7}', /version 7; expected version 1/],
  ])('that is damaged is refused: %s', (text, message) => {
    expect(() => parseRecording(text, 'run.json')).toThrow(message);
    expect(() => parseRecording(text, 'run.json')).toThrow(CorruptInputError);
  });

  it('that is damaged in a field names it', async () => {
    const { recording } = await record();
    const text = encodeRecording(recording).replace(/"tick": "0x/, '"tick": "y');
    expect(() => parseRecording(text, 'run.json')).toThrow(/run\.json: inputs\.0\.tick is wrong/);
  });
});

describe('a replay', () => {
  it('goes to any instruction and back, and sees the same there', async () => {
    const { recording } = await record();
    const replay = await open(recording);
    const look = () => ({
      at: replay.position,
      registers: replay.pc.machine.vcpus[0]?.regs.toObject(),
      time: replay.pc.machine.nanoseconds(),
    });
    const end = recording.end.instructions;
    const places = [end / 3n, end / 2n, end - 2n];
    const seen = [];
    for (const place of places) {
      expect(await replay.runTo(place)).toBeUndefined();
      seen.push(look());
    }
    expect(seen.map(({ at }) => at)).toEqual(places);
    for (const [i, place] of [...places.entries()].reverse()) {
      await replay.runTo(place);
      expect(look()).toEqual(seen[i]);
    }
    await replay.runTo(places[1] as bigint);
    await replay.runTo((places[1] as bigint) - 1n);
    const before = look();
    await replay.runTo(places[1] as bigint);
    expect(look()).toEqual(seen[1]);
    await replay.stepBack();
    expect(look()).toEqual(before);
    expect(await replay.runToEnd()).toEqual({ kind: 'halted' });
    replay.close();
  });
});

describe('vtkit run', () => {
  const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const vtkit = (args: readonly string[], input = '') =>
    spawnSync(process.execPath, [cli, 'run', ...args], { encoding: 'latin1', input, timeout: 30_000 });
  const image = join(folder, 'echo.bin');
  const file = join(folder, 'run.json');
  writeFileSync(image, echo);

  it('records a run and replays it', () => {
    const recorded = vtkit(['--record', file, '--memory', '1M', image], 'abq');
    expect(recorded).toMatchObject({ status: 0, stdout: expect.stringMatching(/^a.b.q.$/s) });
    expect(vtkit(['--replay', file])).toMatchObject({ status: 0, stdout: recorded.stdout });
  });

  it('breaks at an instruction, and steps back', () => {
    const broken = vtkit(['--replay', file, '--break-at', '3', '--step-back', '2']);
    expect(broken).toMatchObject({ status: 0, stderr: '' });
    expect(broken.stdout).toMatch(
      /^instruction 3, cpu 0 at 0x[0-9a-f]{4}:0x7c06 \(linear 0x7c06\): je short .*bytes 74fb/m,
    );
    expect(broken.stdout).toMatch(/^instruction 1, cpu 0 .*: in al, dx, bytes ec/m);
  });

  it('refuses a replay of another image', () => {
    writeFileSync(join(folder, 'other.bin'), Uint8Array.from([0xf4]));
    const { status, stderr } = vtkit(['--replay', file, join(folder, 'other.bin')]);
    expect(status).toBe(2);
    expect(stderr).toContain('is not the file that was recorded');
  });

  it('traces instructions, as many as are asked for', () => {
    const trace = join(folder, 'trace.txt');
    const flags = ['--trace-instructions', trace, '--trace-limit', '4', '--memory', '1M'];
    expect(vtkit([...flags, image], 'q').status).toBe(0);
    const lines = readFileSync(trace, 'latin1').trimEnd().split('\n');
    expect(lines.map((line) => line.replace(/ +/g, ' ').trim())).toEqual([
      '1 0000000000007c00 bafd03 mov dx, 0x3fd',
      '2 0000000000007c03 ec in al, dx',
      '3 0000000000007c04 a801 test al, 1',
      expect.stringMatching(/^4 0000000000007c06 74fb je short /),
    ]);
  });

  /** Runs it until it has sent something, and then presses Ctrl-C. */
  const interrupted = async (args: readonly string[], input = ''): Promise<{ status: unknown; stderr: string }> => {
    const child = spawn(process.execPath, [cli, 'run', ...args]);
    let stderr = '';
    child.stderr.on('data', (text) => (stderr += text));
    child.stdin.write(input);
    child.stdout.once('data', () => child.kill('SIGINT'));
    child.stdout.resume();
    const [status] = await once(child, 'close');
    return { status, stderr };
  };

  it('ends a recording by Ctrl-C: what was recorded is whole', async () => {
    const file = join(folder, 'interrupted.json');
    expect(await interrupted(['--record', file, '--memory', '1M', image], 'a')).toMatchObject({ status: 130 });
    const { inputs, end } = parseRecording(readFileSync(file, 'utf8'), file);
    expect(inputs.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['a']);
    expect(end.outcome).toBe('stopped');
    expect(vtkit(['--replay', file]).stdout).toMatch(/^a.?$/s);
  });

  it('ends a replay and a trace by Ctrl-C', async () => {
    const file = join(folder, 'long.json');
    expect(vtkit(['--record', file, '--memory', '1M', '--timeout', '2', image], 'a').status).toBe(124);
    expect(await interrupted(['--replay', file])).toMatchObject({ status: 130 });
    const trace = ['--trace-instructions', '-', '--trace-limit', '1000000000', '--memory', '1M'];
    expect(await interrupted([...trace, image])).toMatchObject({ status: 130 });
  });

  it('leaves no recording where it cannot be written', () => {
    const nowhere = join(folder, 'nowhere', 'run.json');
    expect(vtkit(['--record', nowhere, '--memory', '1M', image], 'q').status).toBe(2);
    expect(existsSync(nowhere)).toBe(false);
  });
});
