/** What the probe reads is what Debian's tools read on the same machine. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { probe } from '../../src/probe/index.ts';

const document = probe();

describe('IOMMU groups', () => {
  it('are those of sysfs', () => {
    const folder = '/sys/kernel/iommu_groups';
    const groups = readdirSync(folder).map((id) => [id, readdirSync(`${folder}/${id}/devices`).sort()]);
    expect(document.iommu.groups?.map(({ id, devices }) => [id, devices])).toEqual(
      groups.sort(([a], [b]) => Number(a) - Number(b)),
    );
    expect(groups.length).toBeGreaterThan(5);
    expect(readFileSync('/proc/version', 'utf8')).toContain('Debian');
  });
});
