import { describe, expect, it } from 'vitest';
import { page } from '../../../src/probe/page.ts';
import { FakeHost } from '../../support/fake-host.ts';

describe('devices on the page', () => {
  const host = new FakeHost();
  for (const [at, group] of ['3', '4', '5', '6'].entries()) {
    host.pci(`0000:0${group}:00.0`, { class: '0x020000', driver: 'igb', group, files: { reset_method: 'flr' } });
    host.net(`eth${at}`, { function: `0000:0${group}:00.0` });
  }
  host.pci('0000:00:1f.3', { class: '0x0c0500', driver: 'i801_smbus', group: '9' });
  host.pci('0000:02:00.0', { class: '0x010802', driver: 'nvme', group: '2', files: { reset_method: 'flr' } });
  host.block('nvme0n1', '259:0', { function: '0000:02:00.0' });
  host.mounts('27 1 259:0 / / rw - ext4 /dev/nvme0n1 rw');
  const document = host.probe();
  host.remove();
  const lines = (verbose: boolean) => {
    const text = page(document, { width: 100, colour: false, verbose });
    return text.slice(text.indexOf('Devices ·')).split('\n');
  };

  it('of which the same is to be said share a line', () => {
    const [, first, second, third, ...rest] = lines(false);
    expect(first).toBe('  ✗ 0000:02:00.0 NVMe controller (nvme)');
    expect(second).toBe('    / is mounted from nvme0n1');
    expect(third).toMatch(/^ {4}→ the system runs from it/);
    const told = rest.join(' ').replaceAll(/\s+/g, ' ');
    expect(told).toContain('✓ 0000:03:00.0 Ethernet controller (igb), 0000:04:00.0');
    expect(told).toContain('and 1 more alone in its group');
    expect(told).not.toContain('SMBus');
  });

  it('are told with each reason where all is asked for', () => {
    const told = lines(true).join(' ').replaceAll(/\s+/g, ' ');
    expect(told).toContain('SMBus controller');
    expect(told).toContain('yes: its interrupts are remapped');
  });
});
