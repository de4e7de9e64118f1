#!/usr/bin/env node
/** The vtkit command: its subcommands, and the one place where errors become text and exit codes. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { exitCodeOf, report } from './report.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Subcommands, loaded when they are asked for: `vtkit probe` must not pay for `vtkit run`. */
const commands = {
  probe: async () => (await import('./probe.ts')).probeCommand(),
  report: async () => (await import('./html-report.ts')).reportCommand(),
  capture: async () => (await import('./capture.ts')).captureCommand(),
  explain: async () => (await import('./explain.ts')).explainCommand(),
  baseline: async () => (await import('./baseline.ts')).baselineCommand(),
  compare: async () => (await import('./compare.ts')).compareCommand(),
  devices: async () => (await import('./devices.ts')).devicesCommand(),
  vfio: async () => (await import('./vfio.ts')).vfioCommand(),
  vmdq: async () => (await import('./vmdq.ts')).vmdqCommand(),
  sriov: async () => (await import('./sriov.ts')).sriovCommand(),
  vmcs: async () => (await import('./vmcs.ts')).vmcsCommand(),
  ept: async () => (await import('./ept.ts')).eptCommand(),
  lockstep: async () => (await import('./lockstep.ts')).lockstepCommand(),
  run: async () => (await import('./run.ts')).runCommand(),
} as const;

async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('vtkit')
    .description(
      'Intel VT for Node: check VT-x, VT-d and VT-c, give devices to guests, and run guests on KVM or an emulated processor.',
    )
    .version(version, '-V, --version')
    .showHelpAfterError('(vtkit --help shows what there is)')
    .addHelpText(
      'after',
      `
Examples:
  vtkit probe                     what this host's VT-x, VT-d, VT-c and KVM can do, and what to do about the rest
  vtkit run kernel.elf            run a guest, its first serial port on this terminal
  vtkit vfio bind 0000:02:00.0 --dry-run
  vtkit explain exit 48

Set DEBUG=vtkit for stack traces, NO_COLOR=1 for plain text.`,
    );
  const named = argv[2] as keyof typeof commands | undefined;
  const wanted =
    named !== undefined && Object.hasOwn(commands, named)
      ? [named]
      : (Object.keys(commands) as (keyof typeof commands)[]);
  for (const name of wanted) program.addCommand(await commands[name]());
  throwAtExits(program);
  await program.parseAsync([...argv]);
}

// Who closes the pipe (`| head`) has read enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

/** An exit inside of commander would skip the exit codes of this file. */
function throwAtExits(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) throwAtExits(child);
}

try {
  await main(process.argv);
} catch (error) {
  if (!(error instanceof CommanderError)) report(error);
  process.exitCode = exitCodeOf(error);
}
