/** Dumps of real PCI functions, where they lie beside the checkout (`lspci -xxxx` text), and what lspci says of them. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'vitest';

const folder = ['../../../shared/data/pci/', '../../../../shared/data/pci/']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => existsSync(path));

/** Names of the dumps; none where they are not beside the checkout. */
export const pciDumps: readonly string[] = folder === undefined ? [] : readdirSync(folder).sort();

/** The text of a dump; skips the test where it is not there. */
export function pciDumpOrSkip(context: TestContext, name: string): string {
  if (folder === undefined || !pciDumps.includes(name)) context.skip(`the dump ${name} is not beside this checkout`);
  return readFileSync(join(folder ?? '', name), 'latin1');
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
