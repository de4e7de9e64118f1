/** Faults of VT-d as Linux logs them: which device reached for what it was not given, and what stopped it. */

export interface RemappingFault {
  /** Line of the log, from 1. */
  readonly line: number;
  readonly kind: 'read' | 'write' | 'interrupt';
  /** Who asked: bus, device and function as the remapping unit saw them. A virtual function has its own. */
  readonly requester: string;
  /** What it asked for: an I/O address, or for an interrupt its index. */
  readonly address: bigint;
  /** The process address space that it named; null without one. */
  readonly pasid: number | null;
  /** The fault reason. */
  readonly reason: number;
  /** In words. */
  readonly says: string;
}

/** By number (VT-d 4.1, 7.1.3 and 5.1.4); of others the kernel's own words are shown. */
const reasons: Readonly<Record<number, string>> = {
  1: 'its bus has no translation tables',
  2: 'it has no translation tables',
  3: 'its context entry is wrong',
  4: 'the address is above what the unit translates',
  5: 'nothing is mapped there that it may write',
  6: 'nothing is mapped there that it may read',
  7: 'the unit could not read its page tables',
  8: 'the unit could not read the root table',
  9: 'the unit could not read the context table',
  10: 'reserved bits are set in the root entry',
  11: 'reserved bits are set in its context entry',
  12: 'reserved bits are set in its page tables',
  13: 'it may not ask for translations (ATS)',
  32: 'reserved bits are set in the message',
  33: 'the index is above the interrupt table',
  34: 'no interrupt is set up at the index',
  35: 'the unit could not read the interrupt table',
  36: 'reserved bits are set in the table entry',
  37: 'the message is of the format without an index, which is blocked',
  38: 'the interrupt at the index is that of another requester',
};

/** Of Linux 4.7 and later; until 5.13 the PASID stands behind the device, and numbers have no 0x. */
const shape =
  /DMAR: \[(DMA Read|DMA Write|INTR-REMAP)(?: NO_PASID| PASID (0x[0-9a-f]+))?\] Request device \[([0-9a-f:.]+)\](?: PASID ([0-9a-f]+))? fault (?:addr|index) (?:0x)?([0-9a-f]+) \[fault reason (?:0x)?([0-9a-f]+)\] ?(.*)/;
const noPasid = 0xffff_ffff;

/** The faults of a kernel log, in order. The kernel leaves lines out when there are many. */
export function readRemappingFaults(log: string): readonly RemappingFault[] {
  return log.split('\n').flatMap((text, i) => {
    const [, what, pasid, requester = '', oldPasid, address = '', number = '', words = ''] = shape.exec(text) ?? [];
    if (what === undefined) return [];
    const reason = Number.parseInt(number, 16);
    const named = pasid ?? oldPasid;
    const space = named === undefined ? noPasid : Number.parseInt(named, 16);
    return [
      {
        line: i + 1,
        kind: what === 'DMA Read' ? 'read' : what === 'DMA Write' ? 'write' : 'interrupt',
        requester,
        address: BigInt(`0x${address}`),
        pasid: space === noPasid ? null : space,
        reason,
        says: reasons[reason] ?? words.trim(),
      } as const,
    ];
  });
}
