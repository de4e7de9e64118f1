/** Dumps of real PCI functions, where they lie beside the checkout (`lspci -xxxx` text), and what lspci says of them. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestContext } from 'vitest';
import { dumpOrSkip, dumps } from './dumps.ts';

/** Names of the dumps; some name where they are not beside the checkout, so that a test says why it is skipped. */
export const pciDumps: readonly string[] =
  dumps('pci').length > 0 ? dumps('pci').map((path) => basename(path)) : ['any'];

/** The text of a dump; skips the test where it is not there. */
export const pciDumpOrSkip = (context: TestContext, name: string): string =>
  readFileSync(dumpOrSkip(context, 'pci', name), 'latin1');

/** A register of a function as setpci reads it of a dump; skips the test where there is no setpci. */
export function setpciOrSkip(context: TestContext, name: string, address: string, register: string): number {
  const dump = ['-A', 'dump', '-O', `dump.name=${dumpOrSkip(context, 'pci', name)}`];
  const run = spawnSync('setpci', [...dump, '-s', address, register], { encoding: 'latin1' });
  if (run.error !== undefined) context.skip(`this host has no setpci: ${run.error.message}`);
  return Number.parseInt(run.stdout, 16);
}

export interface LspciCapability {
  readonly offset: number;
  /** Of an extended capability. */
  readonly version?: number;
  /** The first line, behind the brackets, and those below it. */
  readonly label: string;
  readonly lines: readonly string[];
}

export interface LspciFunction {
  readonly address: string;
  readonly classCode: string;
  readonly vendorId: string;
  readonly deviceId: string;
  readonly lines: readonly string[];
  readonly capabilities: readonly LspciCapability[];
}

/** What `lspci -vvv` says of a dump; skips the test where there is no lspci. */
export function lspciOrSkip(context: TestContext, dump: string): LspciFunction[] {
  const scratch = mkdtempSync(join(tmpdir(), 'vtkit-lspci-'));
  try {
    writeFileSync(join(scratch, 'dump'), dump, 'latin1');
    const run = spawnSync('lspci', ['-vvv', '-n', '-D', '-F', join(scratch, 'dump')], {
      encoding: 'latin1',
      maxBuffer: 2 ** 28,
    });
    if (run.error !== undefined) context.skip(`this host has no lspci: ${run.error.message}`);
    return run.stdout.split('\n\n').filter(Boolean).map(parseFunction);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function parseFunction(text: string): LspciFunction {
  const [heading = '', ...lines] = text.split('\n').filter(Boolean);
  const [, address, classCode, vendor, device] =
    /^(\S+) ([0-9a-f]{4}): ([0-9a-f]{4}):([0-9a-f]{4})/.exec(heading) ?? [];
  if (address === undefined) throw new Error(`lspci printed ${heading}`);
  const capabilities: { offset: number; version?: number; label: string; lines: string[] }[] = [];
  for (const line of lines) {
    const [, offset, version, label] = /^\tCapabilities: \[([0-9a-f]+)(?: v(\d+))?\] (.*)/.exec(line) ?? [];
    if (offset !== undefined && label !== undefined) {
      const versioned = version === undefined ? {} : { version: Number(version) };
      capabilities.push({ offset: Number.parseInt(offset, 16), ...versioned, label, lines: [] });
    } else if (line.startsWith('\t\t')) capabilities.at(-1)?.lines.push(line.trim());
  }
  return {
    address,
    classCode: `0x${classCode}`,
    vendorId: `0x${vendor}`,
    deviceId: `0x${device}`,
    lines,
    capabilities,
  };
}
