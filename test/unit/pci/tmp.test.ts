import { it, expect } from 'vitest';
import fc from 'fast-check';
import { writeFileSync, readFileSync, readdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { parseLspci } from '../../../src/pci/lspci.ts';
import { decodeLspci } from '../../../src/pci/dump.ts';
import { lspciText } from '../../support/pci-space.ts';
import { matches } from './real-dumps.test.ts';
let seed = Number(process.env.SEED ?? 1);
const rnd = () => { seed = (seed * 1103515245 + 12345) & 0x7fffffff; return seed / 0x7fffffff; };
const pick = (n: number) => Math.floor(rnd() * n);
it('mutated', (context) => {
  const folder = '/work/shared/data/pci/';
  const base = readdirSync(folder).flatMap((f) => parseLspci(readFileSync(folder + f, 'latin1'), f)).filter(b => b.bytes.length > 64);
  const texts: string[] = [];
  for (let i = 0; i < 1000; i++) {
    const b = Uint8Array.from(base[pick(base.length)]!.bytes);
    const n = 1 + pick(12);
    for (let k = 0; k < n; k++) { const where = rnd() < 0.5 ? 0x40 + pick(0xc0) : Math.min(b.length - 1, 0x100 + pick(0x300)); b[where] = pick(256); }
    texts.push(lspciText(`${(i >> 5).toString(16).padStart(2, '0')}:${(i & 31).toString(16).padStart(2, '0')}.0 x`, b));
  }
  let bad = 0, faulty = 0;
  for (const t of texts) {
    const [d] = decodeLspci(t, 'x'); if (JSON.stringify(d).includes('rame')) {}
    if (d!.faults.length > 0) { faulty++; continue; }
    try { matches(context, t); } catch (e) { const m=String((e as Error).stack).slice(0,1500); if (/Null Cap|8192|16384/.test(m)) continue; bad++; console.log(m); writeFileSync(`/tmp/bad${bad}`, t); if (bad > 3) break; }
  }
  console.log({ bad, faulty });
}, 100000);
