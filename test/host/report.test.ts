/** The report as a browser shows it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { decodeDmar } from '../../src/acpi/dmar.ts';
import { decodePci } from '../../src/pci/functions.ts';
import { dumped } from '../../src/pci/record.ts';
import { areas, documentOf, probe } from '../../src/probe/index.ts';
import { report } from '../../src/report/index.ts';
import { dmarTable, drhd, rmrr } from '../support/dmar-table.ts';
import { cpuidBit, cpus, host, intel, known, msrs } from '../support/host-facts.ts';
import { chromiumPath, requireOrSkip } from '../support/require.ts';

const { source: axe } = createRequire(import.meta.url)('axe-core') as { source: string };

const dmar = decodeDmar(dmarTable([drhd(0xfed9_0000n, { all: true }), rmrr(0x7b80_0000n, 0x7fff_ffffn)]));
/** A PCI-to-PCI bridge that leads to bus 1. */
const bridge = Uint8Array.from({ length: 64 }, (_, at) => ({ 14: 1, 11: 6, 10: 4, 25: 1 })[at] ?? 0);
const facts = host({
  cpuid: cpus(intel(cpuidBit.vmx)),
  msrs: msrs({ 1152: 0x00da_0400_0000_0004n, 1154: 0xfff9_fffe_0401_e172n, 1163: 0xffn << 32n }),
  cmdline: known('/proc/cmdline', '<script>document.title = "taken over"</script>'),
  dmar: known('DMAR', dmar),
  pci: known(
    '/sys/bus/pci/devices',
    decodePci([dumped('0000:00:01.0', bridge), dumped('0000:01:00.0', new Uint8Array(64))]),
  ),
});
const one = report([documentOf(facts, areas)]);
const pool = report([documentOf(facts, areas), documentOf(host({ cpuid: cpus(intel(0)) }), areas), probe()]);

let browser: Browser;
let folder: string;

beforeEach((context) => requireOrSkip(context, 'chromium'));

beforeAll(async () => {
  if (chromiumPath === undefined) return;
  folder = mkdtempSync(join(tmpdir(), 'vtkit-report-'));
  writeFileSync(join(folder, 'one.html'), one);
  writeFileSync(join(folder, 'pool.html'), pool);
  browser = await chromium.launch({ executablePath: chromiumPath, args: ['--no-sandbox'] });
});
afterAll(async () => {
  await browser?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true });
});

const looks = [
  ['light', { colorScheme: 'light', viewport: { width: 1200, height: 900 } }],
  ['dark', { colorScheme: 'dark', viewport: { width: 1200, height: 900 } }],
  ['a phone', { colorScheme: 'light', viewport: { width: 360, height: 740 } }],
] as const;

async function shown(name: string, options: (typeof looks)[number][1], look: (page: Page) => Promise<void>) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  const url = pathToFileURL(join(folder, name)).href;
  await page.goto(url);
  await page.evaluate('for (const each of document.querySelectorAll("details")) each.open = true');
  await look(page);
  await context.close();
  expect(asked, 'the page loads nothing but itself').toEqual([url]);
}

describe.each(['one.html', 'pool.html'])('the report %s', (name) => {
  it.each(looks)('breaks no rule of axe, and fits, in %s', async (_, options) => {
    await shown(name, options, async (page) => {
      await page.evaluate(axe);
      const found = (await page.evaluate(
        'axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes[0].html]))',
      )) as unknown[];
      expect(found).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    });
  });
});

describe('what was read of a host', () => {
  it('is text in the report, whatever it holds', async () => {
    expect(one).toContain('&lt;script&gt;');
    await shown('one.html', looks[0][1], async (page) => {
      expect(await page.title()).toMatch(/^vtkit: /);
      expect(await page.evaluate('document.scripts.length')).toBe(0);
    });
  });

  it('is drawn: a reserved region on the line of addresses, every control in the matrix', async () => {
    await shown('one.html', looks[0][1], async (page) => {
      expect(await page.locator('svg text', { hasText: '0x7b800000-0x7fffffff' }).count()).toBe(1);
      const row = page.locator('tr', { hasText: 'useTprShadow' });
      expect(await row.innerText()).toMatch(/useTprShadow\s+21\s+.*may be 1/s);
    });
  });

  it('is drawn: functions behind the bridge that leads to them', async () => {
    await shown('one.html', looks[0][1], async (page) => {
      const x = async (text: string) => Number(await page.locator('svg text', { hasText: text }).getAttribute('x'));
      expect(await x('0000:01:00.0')).toBeGreaterThan(await x('0000:00:01.0'));
    });
  });

  it('is compared where there are several: a column each, and the baseline', async () => {
    await shown('pool.html', looks[0][1], async (page) => {
      const heads = await page.locator('.fleet thead').first().locator('th').allInnerTexts();
      expect(heads).toHaveLength(5);
      expect(heads[1]).toBe('baseline');
    });
  });
});
