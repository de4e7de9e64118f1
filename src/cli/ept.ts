/** `vtkit ept walk`: where extended page tables in a memory image lead. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { type Walk, type WalkEnd, walkEpt } from '../ept/walk.ts';
import { UsageError } from '../errors.ts';
import { hex } from '../x86/vmx-msrs.ts';
import { colour } from './report.ts';

const notMapped = 1;

interface Flags {
  readonly eptp: bigint;
  readonly base: bigint;
  readonly physicalBits: bigint;
  readonly modeBasedExecute?: boolean;
  readonly json?: boolean;
}

export function eptCommand(): Command {
  return new Command('ept').description('Read extended page tables.').addCommand(
    new Command('walk')
      .description('Follow guest-physical addresses through the tables in an image of host-physical memory.')
      .argument('<image>', 'a file with physical memory, as it lies there')
      .argument('<addresses...>', 'guest-physical addresses')
      .requiredOption('--eptp <value>', 'the EPT pointer, as in the VMCS', number)
      .option('--base <address>', 'the physical address of the first byte of the image', number, 0n)
      .option('--physical-bits <n>', "the processor's MAXPHYADDR", number, 52n)
      .option('--mode-based-execute', 'the control "mode-based execute control for EPT" is on')
      .option('--json', 'print an array: a row for each address')
      .addHelpText(
        'after',
        `
Exit codes:
  0  all are mapped    1  one is not    2  misuse

Examples:
  vtkit ept walk memory.img --eptp 0x1000005e 0x7c00
  (qemu) pmemsave 0 0x8000000 memory.img       QEMU's monitor writes such an image`,
      )
      .action(walk),
  );
}

function number(text: string): bigint {
  if (!/^(0x[0-9a-f]+|[0-9]+)$/i.test(text) || BigInt(text) >> 64n !== 0n) {
    throw new InvalidArgumentError('a number of at most 64 bits is expected, as 0x1000 or 4096');
  }
  return BigInt(text);
}

function walk(image: string, addresses: readonly string[], flags: Flags): void {
  if (flags.physicalBits < 32n || flags.physicalBits > 52n) {
    throw new UsageError(`--physical-bits is ${flags.physicalBits}: processors have 32 to 52`);
  }
  const file = open(image);
  try {
    const { size } = fstatSync(file);
    const read = (address: bigint): bigint | undefined => {
      const offset = address - flags.base;
      if (offset < 0n || offset + 8n > BigInt(size)) return undefined;
      const entry = Buffer.alloc(8);
      return readSync(file, entry, 0, 8, offset) === 8 ? entry.readBigUInt64LE() : undefined;
    };
    const options = {
      physicalBits: Number(flags.physicalBits),
      modeBasedExecute: flags.modeBasedExecute === true,
    };
    const walks = addresses.map((address) => walkEpt(read, flags.eptp, number(address), options));
    if (walks.some(({ end }) => end.kind !== 'mapped')) process.exitCode = notMapped;
    process.stdout.write(flags.json ? `${JSON.stringify(walks.map(row), null, 2)}\n` : walks.map(paragraph).join(''));
  } finally {
    closeSync(file);
  }
}

function open(image: string): number {
  try {
    return openSync(image, 'r');
  } catch (cause) {
    throw new UsageError(`'${image}' cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function row({ guestPhysical, steps, end }: Walk) {
  return {
    guestPhysical: hex(guestPhysical),
    steps: steps.map((step) => ({ ...step, address: hex(step.address), entry: hex(step.entry) })),
    end: end.kind === 'mapped' ? { ...end, host: hex(end.host), pageBytes: Number(end.pageBytes) } : end,
  };
}

function paragraph({ guestPhysical, steps, end }: Walk): string {
  const lines = steps.map(
    ({ level, address, entry, bits }) => `  ${level.padEnd(5)} at ${hex(address)}: ${hex(entry)}  ${bits.join(', ')}\n`,
  );
  return `${colour('bold', hex(guestPhysical), process.stdout)}\n${lines.join('')}  ${ending(end)}\n`;
}

const ending = (end: WalkEnd): string =>
  end.kind === 'mapped'
    ? `${colour('green', 'mapped', process.stdout)} to ${hex(end.host)}: ${end.access}, ${end.memoryType}, a page of ${pageSize(end.pageBytes)}`
    : `${colour('red', end.kind, process.stdout)}: ${end.why}`;

const pageSize = (bytes: bigint): string => (bytes >= 1n << 30n ? '1 GiB' : bytes >= 1n << 20n ? '2 MiB' : '4 KiB');
